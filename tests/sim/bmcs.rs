//! Small racks in which the BMCs have most to do and most goes wrong with them.
//!
//! `RACKWRIGHT_SEEDS=10000 tests/run sim::bmcs` runs more; `RACKWRIGHT_SEED=<n> tests/run sim::bmcs` replays one.

use super::rack::Season;
use super::totals;

/// Seeds run when nothing else is asked for: about two minutes on two cores, of which 10,000 take more than three.
const SEEDS: u64 = 6_000;

#[test]
fn bmcs_keep_the_laws() {
    let Some((seeds, totals)) = totals(Season::BMCS, SEEDS) else { return };
    // A simulation in which nothing happens proves nothing.
    let happened = [
        ("installs", totals.installs),
        ("logins", totals.logins),
        ("failed logins", totals.failed_logins),
        ("passwords corrected", totals.passwords_corrected),
        ("crashes in the middle of an action", totals.mid_crashes),
        ("sessions left open by a crash", totals.left_open),
        ("BMCs that restarted", totals.reboots),
        ("logins answered too late", totals.unheard),
        ("logins over IPMI", totals.ipmi_logins),
        ("certificates renewed", totals.certificates_renewed),
        ("preparations that were waited for", totals.pending),
        ("BIOS settings taken over in a restart", totals.configured),
        ("volumes made", totals.volumes_made),
        ("volumes deleted", totals.volumes_deleted),
    ];
    for (what, times) in happened {
        assert!(times > seeds / 100, "hardly any {what}: {times} in {seeds} racks");
    }
}
