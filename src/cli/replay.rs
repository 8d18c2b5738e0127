//! `rackwright replay`: folds a journal and prints the plan at its end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

use super::source;
use super::table::Table;
use crate::daemon;
use crate::drive::git::Local;
use crate::model::{Desired, Revision, Time, World};
use crate::plan::{Plan, Step};
use crate::settings::{self, Settings};
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    /// The journal, or a copy of it; it is only read. The mirror is looked for beside it
    pub journal: PathBuf,
    /// The daemon's settings
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Folds the journal and prints what it amounts to.
pub fn replay(args: &ReplayArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let settings = settings::load(&args.config)?;
    let (world, at, plan) = fold(&args.journal, &settings)?;
    show(&world, at, &plan, out)?;
    Ok(0)
}

/// What a journal amounts to, when its last event was, and the plan then. Nothing is changed.
pub fn fold(journal: &Path, settings: &Settings) -> anyhow::Result<(World, Time, Plan)> {
    let dir = journal.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A look at the mirror that repairs nothing: a daemon may be running on it.
    let mirror = Local::discover(&dir.join("mirror.git"))?;
    let load = |revision: &Revision, previous: Option<&Desired>| {
        let tree = mirror.snapshot(revision).ok()?.tree;
        source::load(&tree, Some(settings), previous, Some(revision.clone())).desired.map(Arc::new)
    };
    Ok(daemon::replay(journal, settings.policy(), load)?)
}

/// Prints what a journal amounts to, and what would be done at its end.
pub fn show(world: &World, at: Time, plan: &Plan, out: &mut dyn Write) -> anyhow::Result<()> {
    let revision = world.desired.as_ref().and_then(|desired| desired.revision.as_ref());
    writeln!(out, "The last event is of {at}; the revision in force is {}.", revision.map_or("none", |r| r.as_str()))?;
    let mut table = Table::new(&["HOST", "STATE", "NEXT", "REASON", "MESSAGE"]);
    for host in &plan.hosts {
        let (next, style) = describe(&host.step);
        let plain = |text: &str| (text.to_string(), Style::new());
        table.row([
            plain(&host.id.to_string()),
            plain(host.state.as_str()),
            (next, style),
            plain(host.step.reason().as_str()),
            plain(host.step.message()),
        ]);
    }
    writeln!(out)?;
    table.print(out)?;
    writeln!(out)?;
    for action in &plan.actions {
        let host = action.host().map(|host| format!(" {host}")).unwrap_or_default();
        writeln!(out, "would begin: {}{host}", action.kind())?;
    }
    match plan.wake_at {
        Some(wake) => writeln!(out, "would look again at {wake}")?,
        None => writeln!(out, "would wait for news")?,
    }
    Ok(())
}

fn describe(step: &Step) -> (String, Style) {
    match step {
        Step::Act { until, .. } => (format!("acts, until {until}"), yellow()),
        Step::Wait { until, .. } => (format!("waits, until {until}"), yellow()),
        Step::Stalled { until, .. } => {
            let next = until.map_or_else(|| "stalled".to_string(), |until| format!("stalled, tried at {until}"));
            (next, AnsiColor::Red.on_default())
        }
        Step::Done { .. } => ("done".into(), AnsiColor::Green.on_default()),
    }
}

fn yellow() -> Style {
    AnsiColor::Yellow.on_default()
}
