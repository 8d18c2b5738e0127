//! `rackwright preflight`: is this machine fit to run the daemon? Every finding says what to do about it.
//!
//! Nothing is changed: no file is written outside a temporary directory, a push is a dry run, and of other DHCP servers
//! only offers are asked for; BMCs are looked at (`bmcs`). `machine` collects, `judge` decides (pure), `probe` and `live` talk to the network.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::io::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use super::bmc::gather::Answer;
use super::runtime;
use super::table::Table;
use crate::settings::{self, Settings};

mod ansible;
mod bmcs;
mod files;
mod judge;
mod live;
mod machine;
mod ports;
mod probe;
mod repository;
#[derive(clap::Args, Debug)]
pub struct PreflightArgs {
    /// The settings file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Send nothing: neither look for another DHCP server nor call the repository
    #[arg(long)]
    pub offline: bool,
    /// Do not speak to any BMC
    #[arg(long)]
    pub no_bmc: bool,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table, for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Ok,
    Warning,
    /// It cannot run like this.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: String,
    pub grade: Grade,
    pub found: String,
    /// What to do, unless it is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Check {
        Check { name: name.into(), grade: Grade::Ok, found: found.into(), advice: None }
    }

    fn warning(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { name: name.into(), grade: Grade::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Check {
        Check { name: name.into(), grade: Grade::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

#[derive(Default)]
struct Found {
    checks: Vec<Check>,
    bmcs: Vec<Answer>,
}

/// Looks at everything and prints it. Exit code 0 when nothing failed.
pub fn preflight(args: &PreflightArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let name = args.config.display().to_string();
    let found = match settings::load(&args.config) {
        Err(error) => Found {
            checks: vec![Check::fail("settings", error.to_string(), "correct the settings file")],
            ..Found::default()
        },
        Ok(settings) => {
            let mut found = runtime()?.block_on(look(&settings, args));
            found.checks.insert(0, Check::ok("settings", name));
            found
        }
    };
    let fit = found.checks.iter().all(|check| check.grade != Grade::Fail);
    match args.format {
        Format::Text => print(&found, fit, out)?,
        Format::Json => {
            let document = serde_json::json!({ "fit": fit, "checks": found.checks, "bmcs": found.bmcs });
            writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        }
    }
    Ok(u8::from(!fit))
}

async fn look(settings: &Settings, args: &PreflightArgs) -> Found {
    let machine = machine::Machine::read().await;
    let live = live::Daemon::find(settings).await;
    let mut checks = vec![judge::user(settings, &machine)];
    checks.extend(judge::interfaces(settings, &machine));
    checks.extend(ports::ports(settings, &machine, live.is_some()));
    checks.extend(judge::subnets(settings, &machine));
    checks.extend(judge::firewall(settings, &machine));
    if !args.offline {
        checks.extend(probe::others(settings, &machine).await);
    }
    let desired = if args.offline { None } else { repository::look(settings, &mut checks).await };
    checks.extend(files::root(settings, desired.as_ref()));
    checks.extend(files::loaders(settings));
    checks.push(files::state(settings));
    checks.extend(files::named(settings));
    checks.extend(repository::programs(settings, desired.as_ref()).await);
    if let Some(forge) = settings.commit_status.as_ref().filter(|_| !args.offline) {
        checks.push(repository::forge(forge).await);
    }
    checks.push(judge::time(super::now(), machine.synchronized));
    match live {
        Some(daemon) => checks.extend(daemon.fetch(settings).await),
        None => checks.push(Check::ok("daemon", "not running; nothing was fetched from it")),
    }
    let bmcs = match desired {
        Some(desired) if !args.no_bmc => bmcs::look(settings, desired).await,
        _ => Vec::new(),
    };
    if !bmcs.is_empty() {
        checks.extend(bmcs::checks(&bmcs));
    }
    Found { checks, bmcs }
}

fn print(Found { checks, bmcs }: &Found, fit: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new(&["", "CHECK", "FOUND"]);
    for check in checks {
        let (word, style) = match check.grade {
            Grade::Ok => ("ok", AnsiColor::Green.on_default()),
            Grade::Warning => ("warning", AnsiColor::Yellow.on_default()),
            Grade::Fail => ("FAIL", AnsiColor::Red.on_default().bold()),
        };
        let mut lines = check.found.lines();
        let first = lines.next().unwrap_or_default();
        let plain = Style::new();
        table.row([(word.into(), style), (check.name.clone(), plain), (first.into(), plain)]);
        let more = lines.map(String::from).chain(check.advice.iter().map(|advice| format!("-> {advice}")));
        more.for_each(|line| table.row([(String::new(), plain), (String::new(), plain), (line, plain)]));
    }
    table.print(out)?;
    if !bmcs.is_empty() {
        bmcs::print(bmcs, out)?;
    }
    let count = |grade| checks.iter().filter(|check| check.grade == grade).count();
    let (failed, warnings) = (count(Grade::Fail), count(Grade::Warning));
    let verdict = if fit { "Fit to run" } else { "Not fit to run" };
    writeln!(out, "\n{verdict}: {} ok, {warnings} to look at, {failed} failed.", count(Grade::Ok))?;
    Ok(())
}
