//! Whole racks under virtual time: random worlds from a seed, with faults, and laws checked after every event.
//!
//! A failing seed prints itself. `RACKWRIGHT_SEED=<n> tests/run sim` replays it, with its story on standard error.

mod bmcs;
mod daemon;
mod laws;
mod rack;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use rack::{Season, Sim, Told};

/// Seeds run when nothing else is asked for.
const SEEDS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs racks of a season: as many as are asked for, or one of them aloud, or `usual` many. Nothing when it was one.
fn totals(season: Season, usual: u64) -> Option<(u64, Told)> {
    if let Some(seed) = number("RACKWRIGHT_SEED") {
        let told = Sim::run(season, seed, true);
        eprintln!("seed {seed}: {told:?}");
        return None;
    }
    let seeds = number("RACKWRIGHT_SEEDS").unwrap_or(usual);
    let next = AtomicU64::new(0);
    let totals = std::sync::Mutex::new(Told::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let told = catch_unwind(AssertUnwindSafe(|| Sim::run(season, seed, false)));
                    match told {
                        Ok(told) => totals.lock().unwrap().add(&told),
                        Err(_) => panic!("seed {seed} breaks a law; replay it: RACKWRIGHT_SEED={seed} tests/run sim"),
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap();
    eprintln!("{seeds} racks: {totals:?}");
    Some((seeds, totals))
}

#[test]
fn random_racks_keep_the_laws() {
    let Some((seeds, totals)) = totals(Season::RACKS, SEEDS) else { return };
    // A simulation in which nothing happens proves nothing.
    assert!(totals.installs > seeds && totals.crashes > seeds / 10 && totals.journals_lost > seeds / 100);
    assert!(totals.refused_claims + totals.refused_checkins > 0 && totals.rejected_pushes > 0 && totals.races > 0);
    assert!(totals.bootstraps > seeds / 4 && totals.hooks > seeds / 4 && totals.written_back > seeds / 8);
    assert!(totals.failed_tasks > seeds / 10 && totals.runs_raised > seeds / 20 && totals.came_back > seeds / 20);
    assert!(totals.requests > 50 * seeds && totals.faults > seeds && totals.mid_crashes > seeds / 50);
}
