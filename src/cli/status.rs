//! `rackwright status`: where every host stands, read from the status branch or from a running daemon.

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::bail;
use clap::ValueEnum;

use super::runtime;
use super::source::{Rack, StatusSource};
use super::table::Table;
use crate::model::status::{ClusterStatus, Condition, HostStatus, RejectedStatus};
use crate::model::{ConditionStatus, HostState, Stamp, TaskResult, Time, span};

const LOOK_EVERY: Duration = Duration::from_secs(2);
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    /// Only this cluster, or this host
    #[arg(value_name = "CLUSTER[/HOST]")]
    pub subject: Option<String>,
    /// Look again and again, until interrupted
    #[arg(long, short)]
    pub watch: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Where from.
    #[command(flatten)]
    pub source: StatusSource,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables, for people
    #[default]
    Text,
    /// One JSON document, with the fields of the status files
    Json,
}

/// Prints the status.
pub fn status(args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let runtime = runtime()?;
    let mut shown = None;
    loop {
        let rack = runtime.block_on(args.source.read()).and_then(|rack| select(rack, args.subject.as_deref()));
        let rack = match rack {
            // A daemon that restarts or a clone that is being fetched into is no reason to stop watching.
            Err(error) if args.watch && shown.is_some() => {
                tracing::warn!("{error:#}");
                shown.clone().unwrap_or_default()
            }
            other => other?,
        };
        if shown.as_ref() != Some(&rack) {
            if args.watch && args.format == Format::Text && std::io::stdout().is_terminal() {
                write!(out, "\x1b[H\x1b[2J")?;
            } else if shown.is_some() && args.format == Format::Text {
                writeln!(out)?;
            }
            print(&rack, args, out)?;
            out.flush()?;
            shown = Some(rack);
        }
        if !args.watch {
            return Ok(0);
        }
        runtime.block_on(tokio::time::sleep(LOOK_EVERY));
    }
}

fn select(mut rack: Rack, subject: Option<&str>) -> anyhow::Result<Rack> {
    let Some(subject) = subject else { return Ok(rack) };
    let (cluster, host) = match subject.split_once('/') {
        Some((cluster, host)) => (cluster, Some(host)),
        None => (subject, None),
    };
    rack.hosts.retain(|status| status.cluster.as_str() == cluster && host.is_none_or(|host| status.host == host));
    rack.clusters.retain(|status| status.cluster.as_str() == cluster && host.is_none());
    if rack.hosts.is_empty() && rack.clusters.is_empty() {
        bail!("there is no {} `{subject}` in the status", if host.is_some() { "host" } else { "cluster" });
    }
    Ok(rack)
}

fn print(rack: &Rack, args: &StatusArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(rack)?)?;
        return Ok(());
    }
    let now = super::now();
    if let Some(rejected) = &rack.rejected {
        print_rejected(rejected, out)?;
    }
    if !rack.unclaimed.is_empty() && args.subject.is_none() {
        writeln!(out, "On the network and not in the repository, left alone:")?;
        for (mac, it) in &rack.unclaimed {
            writeln!(out, "  {mac}  {}  since {}", it.address, it.since)?;
        }
        writeln!(out)?;
    }
    if !rack.clusters.is_empty() {
        clusters(&rack.clusters, now).print(out)?;
        writeln!(out)?;
    }
    if args.subject.is_some() && rack.clusters.iter().any(|cluster| !cluster.tasks.is_empty()) {
        tasks(&rack.clusters, now).print(out)?;
        writeln!(out)?;
    }
    if rack.hosts.is_empty() {
        writeln!(out, "No hosts.")?;
        return Ok(());
    }
    hosts(&rack.hosts, now).print(out)?;
    Ok(())
}

fn print_rejected(rejected: &RejectedStatus, out: &mut dyn Write) -> anyhow::Result<()> {
    let style = AnsiColor::Red.on_default().bold();
    let (commit, since) = (rejected.revision.short(), &rejected.since);
    writeln!(
        out,
        "{style}The watched head {commit} is refused since {since}; the last good revision stays in force:{style:#}"
    )?;
    for finding in &rejected.findings {
        writeln!(out, "  {finding}")?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "      hint: {hint}")?;
        }
    }
    writeln!(out)?;
    Ok(())
}

fn clusters(list: &[ClusterStatus], now: Time) -> Table {
    let mut table = Table::new(&["CLUSTER", "STATE", "CONDITION", "SINCE", "HOSTS", "REVISION", "MESSAGE"]);
    for status in list {
        let total: usize = status.hosts.values().sum();
        let done = status.hosts.get(HostState::Completed.as_str()).copied().unwrap_or(0);
        let revision = status.revision.as_ref().map_or("-", |revision| revision.short());
        let notes = status.notes.iter().map(|note| format!("; {note}")).collect::<String>();
        table.row([
            plain(status.cluster.as_str()),
            (status.state.to_string(), colour(&status.condition)),
            (status.condition.status.to_string(), colour(&status.condition)),
            plain(age(status.since, now)),
            plain(format!("{done}/{total}")),
            plain(revision),
            plain(format!("{}{notes}", status.condition.message)),
        ]);
    }
    table
}

fn tasks(list: &[ClusterStatus], now: Time) -> Table {
    let mut table = Table::new(&["TASK", "RESULT", "SINCE", "MESSAGE"]);
    for (cluster, task) in list.iter().flat_map(|cluster| cluster.tasks.iter().map(move |task| (cluster, task))) {
        let style = match task.result {
            TaskResult::Done => AnsiColor::Green.on_default(),
            TaskResult::Failed | TaskResult::Blocked => AnsiColor::Red.on_default(),
            _ => Style::new(),
        };
        let at = age(task.at.unwrap_or_default(), now);
        let progress = cluster.progress.as_ref().filter(|_| task.result == TaskResult::Running);
        let progress = progress.map(|at| format!("task {}: {}", at.tasks, at.task));
        let message = task.message.clone().or(progress).unwrap_or_default();
        table.row([plain(&task.name), (task.result.to_string(), style), plain(at), plain(message)]);
    }
    table
}

fn hosts(list: &[HostStatus], now: Time) -> Table {
    let mut table = Table::new(&["HOST", "STATE", "CONDITION", "SINCE", "GENERATION", "MESSAGE"]);
    for status in list {
        let notes = status.notes.iter().map(|note| format!("; {note}")).collect::<String>();
        table.row([
            plain(format!("{}/{}", status.cluster, status.host)),
            (status.state.to_string(), colour(&status.condition)),
            (status.condition.status.to_string(), colour(&status.condition)),
            plain(age(status.since, now)),
            plain(generation(status)),
            plain(format!("{}{notes}", status.condition.message)),
        ]);
    }
    table
}

/// `installed/wanted`, or one number when they are the same.
fn generation(status: &HostStatus) -> String {
    let wanted = status.generation.wanted;
    match status.generation.installed {
        Some(installed) if installed == wanted => wanted.to_string(),
        Some(installed) => format!("{installed}/{wanted}"),
        None => format!("-/{wanted}"),
    }
}

fn plain(text: impl Into<String>) -> (String, Style) {
    (text.into(), Style::new())
}

fn colour(condition: &Condition) -> Style {
    match condition.status {
        ConditionStatus::Ready => AnsiColor::Green.on_default(),
        ConditionStatus::Stalled => AnsiColor::Red.on_default(),
        ConditionStatus::Reconciling => AnsiColor::Yellow.on_default(),
    }
}

/// How long ago an instant was; `-` where there is none.
pub fn age(instant: Stamp, now: Time) -> String {
    if instant.is_empty() { "-".into() } else { span(now.since(instant.time())) }
}
