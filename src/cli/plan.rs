//! `rackwright plan`: what merging a change would do to each host.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::json;

use super::source;
use super::table::Table;
use crate::drive::git::Local;
use crate::model::{Desired, Finding, HostId, Severity, StatusBranch};
use crate::plan::diff::{Change, Effect, Known, diff};
use crate::settings;
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    /// The repository
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// What the change is compared with [default: the revision in force by the status branch, else HEAD]
    #[arg(long, value_name = "REV")]
    pub base: Option<String>,
    /// The change [default: the working tree, or HEAD of a bare repository]
    #[arg(long, value_name = "REV")]
    pub head: Option<String>,
    /// The status branch, for what is really installed
    #[arg(long, value_name = "REF", default_value = "rackwright/status")]
    pub status: String,
    /// The daemon's settings, for what templates are told
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table, for people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// A comment for a merge request
    Markdown,
}

struct Sides {
    base: Option<Desired>,
    head: Desired,
    installed: Option<BTreeMap<HostId, Known>>,
}

/// Prints the plan. Exit codes: 0 nothing destructive, 1 the change is invalid, 3 something would be wiped.
pub fn plan(args: &PlanArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let sides = match read(args)? {
        Ok(sides) => sides,
        Err(findings) => {
            print_findings(&findings, args.format, out)?;
            return Ok(1);
        }
    };
    let changes = diff(sides.base.as_ref(), &sides.head, sides.installed.as_ref());
    match args.format {
        Format::Text => text(&changes, &sides, out)?,
        Format::Json => {
            let document = json!({ "changes": changes, "status_known": sides.installed.is_some() });
            writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        }
        Format::Markdown => markdown(&changes, &sides, out)?,
    }
    Ok(if changes.iter().any(|change| change.effect.wipes()) { 3 } else { 0 })
}

fn read(args: &PlanArgs) -> anyhow::Result<Result<Sides, Vec<Finding>>> {
    let settings = args.config.as_deref().map(settings::load).transpose()?;
    let local = Local::discover(&args.path)?;
    let status = local.status(&args.status)?;
    let branch = status.map(|(_, files)| StatusBranch::read(&files)).transpose().map_err(anyhow::Error::msg)?;
    let installed = branch.as_ref().map(|branch| branch.hosts.iter().filter_map(Known::of).collect());
    let in_force = branch.and_then(|branch| branch.rack.revision).filter(|revision| local.snapshot(revision).is_ok());
    let base = match (&args.base, in_force) {
        (Some(name), _) => Some(local.resolve(name)?),
        (None, Some(revision)) => Some(revision),
        (None, None) => local.resolve("HEAD").ok(),
    };
    let base = match base {
        Some(revision) => {
            let loaded =
                source::load(&local.snapshot(&revision)?.tree, settings.as_ref(), None, Some(revision.clone()));
            loaded.desired.or_else(|| {
                tracing::warn!("the base {} is not valid; everything is compared with nothing", revision.short());
                None
            })
        }
        None => None,
    };
    let head = match (&args.head, local.workdir()) {
        (Some(name), _) => local.snapshot(&local.resolve(name)?)?.tree,
        (None, Some(_)) => source::directory(&args.path)?,
        (None, None) => local.snapshot(&local.resolve("HEAD")?)?.tree,
    };
    let loaded = source::load(&head, settings.as_ref(), base.as_ref(), None);
    Ok(match loaded.desired {
        Some(head) => Ok(Sides { base, head, installed }),
        None => Err(loaded.findings),
    })
}

fn print_findings(findings: &[Finding], format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "findings": findings }))?)?;
        return Ok(());
    }
    let (open, close) = if format == Format::Markdown { ("- `", "`") } else { ("", "") };
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    if format == Format::Markdown {
        writeln!(out, "**This change is invalid and would be refused as a whole.**\n")?;
    }
    for finding in errors {
        writeln!(out, "{open}{finding}{close}").context("standard output")?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "    hint: {hint}")?;
        }
    }
    Ok(())
}

fn headline(changes: &[Change]) -> String {
    let count = |effect: Effect| changes.iter().filter(|change| change.effect == effect).count();
    let parts: Vec<_> = Effect::ALL
        .into_iter()
        .filter(|effect| *effect != Effect::None && count(*effect) > 0)
        .map(|effect| format!("{} to {}", count(effect), effect.verb()))
        .collect();
    match parts.is_empty() {
        true => format!("No changes for {} hosts.", changes.len()),
        false => format!("{} hosts: {}.", changes.len(), parts.join(", ")),
    }
}

const NO_STATUS: &str =
    "There is no status branch here: the hosts of the base are taken as installed at their generation.";

fn text(changes: &[Change], sides: &Sides, out: &mut dyn Write) -> anyhow::Result<()> {
    let shown: Vec<_> = changes.iter().filter(|change| change.effect != Effect::None).collect();
    if !shown.is_empty() {
        let mut table = Table::new(&["HOST", "ACTION", "WIPES", "REASON"]);
        for change in shown {
            let style = match change.effect {
                Effect::Install | Effect::Reinstall => AnsiColor::Red.on_default().bold(),
                Effect::Reconfigure | Effect::Drift | Effect::Forget => AnsiColor::Yellow.on_default(),
                Effect::None => Style::new(),
            };
            let wipes = if change.disks.is_empty() { "-".into() } else { change.disks.join(", ") };
            let plain = |text: String| (text, Style::new());
            table.row([
                plain(change.host.to_string()),
                (change.effect.to_string(), style),
                plain(wipes),
                plain(change.reason.clone()),
            ]);
        }
        table.print(out)?;
        writeln!(out)?;
    }
    writeln!(out, "{}", headline(changes))?;
    if sides.installed.is_none() {
        writeln!(out, "{NO_STATUS}")?;
    }
    Ok(())
}

fn markdown(changes: &[Change], sides: &Sides, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "**{}**", headline(changes))?;
    let shown: Vec<_> = changes.iter().filter(|change| change.effect != Effect::None).collect();
    if !shown.is_empty() {
        writeln!(out, "\n| host | action | wipes | reason |\n|---|---|---|---|")?;
        for change in shown {
            let effect =
                if change.effect.wipes() { format!("**{}**", change.effect) } else { change.effect.to_string() };
            let disks: Vec<_> = change.disks.iter().map(|disk| format!("`{disk}`")).collect();
            let reason = change.reason.replace('|', "\\|");
            writeln!(out, "| {} | {effect} | {} | {reason} |", change.host, disks.join(" "))?;
        }
    }
    if sides.installed.is_none() {
        writeln!(out, "\n{NO_STATUS}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterName;

    fn change(host: &str, effect: Effect, reason: &str, disks: &[&str]) -> Change {
        let host = HostId::new(&ClusterName::new("c1"), host);
        Change { host, effect, reason: reason.into(), disks: disks.iter().map(ToString::to_string).collect() }
    }

    fn printed(print: impl Fn(&[Change], &Sides, &mut dyn Write) -> anyhow::Result<()>) -> String {
        let changes = [
            change("hv1", Effect::Reinstall, "generation 1 -> 2", &["/dev/sda", "/dev/sdb"]),
            change("hv2", Effect::Drift, "a | b", &[]),
            change("hv3", Effect::None, "unchanged", &[]),
        ];
        let sides = Sides { base: None, head: Desired::default(), installed: None };
        let mut out = anstream::StripStream::new(Vec::new());
        print(&changes, &sides, &mut out).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn people_read_a_table() {
        let expected = format!(
            "HOST     ACTION      WIPES                REASON\n\
             c1/hv1   reinstall   /dev/sda, /dev/sdb   generation 1 -> 2\n\
             c1/hv2   drift       -                    a | b\n\n\
             3 hosts: 1 to reinstall, 1 to leave in drift.\n{NO_STATUS}\n"
        );
        assert_eq!(printed(text), expected);
    }

    #[test]
    fn merge_requests_get_markdown() {
        let text = printed(markdown);
        assert!(text.contains("| c1/hv1 | **reinstall** | `/dev/sda` `/dev/sdb` | generation 1 -> 2 |"), "{text}");
        assert!(text.contains("| a \\| b |"), "{text}");
    }
}
