//! `rackwright bmc HOST diag`: what works and what does not; one table for many.

use std::io::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::gather::{self, Answer, Certificate, How};
use super::{Format, Scene, act};
use crate::cli::table::Table;
use crate::drive::bmc::manual::types::Depth;
use crate::model::{HostSpec, PowerState, Protocol, Reason, span};
use crate::plan::{self, HostPlan, Plan};

/// Entries of the event log that are shown of one BMC.
const LOG: usize = 8;
/// Seconds by which a BMC's clock may be wrong before anybody is told: logs are compared to the minute.
const SKEW: i64 = 60;

/// Many, in one table. Exit code 1 when any of them has a fault.
pub async fn many(scene: &Scene<'_>, specs: &[Arc<HostSpec>], out: &mut dyn Write) -> anyhow::Result<u8> {
    let how = How { depth: Depth { log: 0, clock: crate::cli::now }, force: scene.args.force };
    let answers = gather::all(scene.settings, scene.world, specs, how).await;
    let plan = plan::plan(scene.world, crate::cli::now());
    match scene.args.format {
        Format::Json => {
            let all: Vec<Value> =
                specs.iter().zip(&answers).map(|(spec, answer)| document(spec, answer, &plan)).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
        Format::Text => {
            table(specs, &answers, &plan).print(out)?;
            let sound = answers.iter().filter(|answer| answer.fault.is_none()).count();
            writeln!(out, "\n{sound} of {} BMCs answered and let us in.", answers.len())?;
        }
    }
    Ok(u8::from(answers.iter().any(|answer| answer.fault.is_some())))
}

/// One, in full.
pub async fn one(scene: &Scene<'_>, spec: &Arc<HostSpec>, out: &mut dyn Write) -> anyhow::Result<u8> {
    let how = How { depth: Depth { log: LOG, clock: crate::cli::now }, force: scene.args.force };
    let answer = gather::one(scene.settings, scene.world, spec, how).await;
    let plan = plan::plan(scene.world, crate::cli::now());
    match scene.args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&document(spec, &answer, &plan))?)?,
        Format::Text => story(spec, &answer, &plan, out)?,
    }
    Ok(u8::from(answer.fault.is_some()))
}

fn document(spec: &HostSpec, answer: &Answer, plan: &Plan) -> Value {
    let mut document = json!(answer);
    if let Some(host) = plan.host(&spec.id) {
        let (_, reason, message) = step(host);
        document["plan"] = json!({ "state": host.state, "reason": reason, "message": message });
    }
    document
}

/// Status, reason and message.
fn step(host: &HostPlan) -> (String, Reason, &str) {
    (host.step.status().as_str().to_lowercase(), host.step.reason(), host.step.message())
}

fn table(specs: &[Arc<HostSpec>], answers: &[Answer], plan: &Plan) -> Table {
    let mut table = Table::new(&[
        "HOST",
        "ADDRESS",
        "PROTOCOL",
        "CERTIFICATE",
        "ACCOUNT",
        "MAC",
        "CLOCK",
        "FIRMWARE",
        "POWER",
        "BOOT",
        "SESSIONS",
        "STATE",
        "FOUND",
    ]);
    for (spec, answer) in specs.iter().zip(answers) {
        let cells = basics(answer);
        let look = answer.look.as_ref();
        let skew = look.and_then(|look| look.clock_ahead).map_or_else(|| "-".into(), ahead);
        let boot = look.and_then(|look| look.boot.as_ref()).map_or_else(
            || "-".into(),
            |boot| match &*boot.enabled {
                "Disabled" | "" => "-".to_owned(),
                enabled => format!("{} {}", boot.target, enabled.to_lowercase()),
            },
        );
        let state = plan.host(&spec.id).map_or_else(|| "-".into(), |host| host.state.to_string());
        let [host, address, protocol, certificate, account, mac, firmware, power] = cells;
        let plain = |text: String| (text, Style::new());
        let found = answer.fault.as_ref().map(ToString::to_string).unwrap_or_default();
        table.row([
            host,
            address,
            protocol,
            certificate,
            account,
            mac,
            plain(skew),
            firmware,
            power,
            plain(boot),
            plain(sessions(answer)),
            plain(state),
            (found, bad(answer.fault.is_some())),
        ]);
    }
    table
}

/// Host, address, protocol, certificate, account, MAC, firmware and power: what every table of BMCs has.
pub fn basics(answer: &Answer) -> [(String, Style); 8] {
    let look = answer.look.as_ref();
    let plain = |text: &str| (text.to_owned(), Style::new());
    let address = match (answer.address, answer.reachable) {
        (None, _) => ("not known yet".to_owned(), AnsiColor::Yellow.on_default()),
        (Some(address), Some(false)) => (format!("{address} silent"), bad(true)),
        (Some(address), _) => (address.to_string(), Style::new()),
    };
    let account = match (&answer.account, answer.authenticated) {
        (Some(name), Some(true)) => plain(name),
        (Some(name), Some(false)) => (format!("{name} REFUSED"), bad(true)),
        (Some(name), None) => plain(&format!("{name} not tried")),
        (None, Some(false)) => ("REFUSED before".to_owned(), bad(true)),
        (None, _) => plain("-"),
    };
    let mac = match answer.mac_matches {
        Some(true) => plain("matches"),
        Some(false) => ("DIFFERS".to_owned(), bad(true)),
        None => plain("-"),
    };
    let firmware = look.and_then(|look| look.inventory.bmc_version.as_deref());
    let power = look.and_then(|look| look.inventory.power).map(PowerState::as_str);
    let wrong = matches!(answer.certificate, Certificate::Changed | Certificate::Failed);
    [
        plain(&answer.host),
        address,
        plain(answer.protocol.map_or("-", protocol)),
        (answer.certificate.as_str().to_owned(), bad(wrong)),
        account,
        mac,
        plain(firmware.unwrap_or("-")),
        plain(power.unwrap_or("-")),
    ]
}

fn bad(is: bool) -> Style {
    if is { AnsiColor::Red.on_default() } else { Style::new() }
}

pub fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Redfish => "Redfish",
        Protocol::Ipmi => "IPMI",
        Protocol::Auto | Protocol::None => "-",
    }
}

/// `3 of 8`
fn sessions(answer: &Answer) -> String {
    let Some(look) = &answer.look else { return "-".into() };
    match (look.sessions, look.session_limit) {
        (Some(open), Some(limit)) => format!("{open} of {limit}"),
        (Some(open), None) => open.to_string(),
        (None, _) => "-".into(),
    }
}

fn ahead(seconds: i64) -> String {
    let length = span(std::time::Duration::from_secs(seconds.unsigned_abs()));
    match seconds {
        -2..=2 => "right".into(),
        3.. => format!("{length} ahead"),
        _ => format!("{length} behind"),
    }
}

fn story(spec: &HostSpec, answer: &Answer, plan: &Plan, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new(&["CHECK", "FOUND"]);
    let mut row = |name: &str, (text, style): (String, Style)| {
        table.row([(name.to_owned(), Style::new()), (text, style)]);
    };
    let plain = |text: String| (text, Style::new());
    let [_, address, protocol, mut certificate, account, mac, firmware, power] = basics(answer);
    row("address", address);
    row("protocol", protocol);
    let look = answer.look.as_ref();
    if let Some(shown) = look.and_then(|look| look.certificate.as_deref()) {
        certificate.0.push_str(&format!(", SHA-256 {shown}"));
    }
    row("certificate", certificate);
    row("account", account);
    row(&format!("MAC {}", spec.bmc_mac), mac);
    if let Some(look) = look {
        row("BMC firmware", firmware);
        let off = look.clock_ahead.is_some_and(|seconds| seconds.abs() > SKEW);
        let clock = look.clock_ahead.map_or_else(|| "not told".into(), ahead);
        row("BMC clock", (clock, if off { AnsiColor::Yellow.on_default() } else { Style::new() }));
        row("sessions", plain(sessions(answer)));
        row("power", power);
        row("next boot", plain(look.boot.as_ref().map_or_else(|| "not told".into(), act::boot_text)));
        row("LED", plain(look.led.clone().unwrap_or_else(|| "not told".into())));
        if let Some(sensors) = &look.sensors {
            let text = match sensors.alarms.is_empty() {
                true => format!("{} read, none beyond a threshold", sensors.read),
                false => format!("{} read, beyond a threshold: {}", sensors.read, sensors.alarms.join(", ")),
            };
            row("sensors", (text, bad(!sensors.alarms.is_empty())));
        }
        row("health", plain(look.inventory.health.clone().unwrap_or_else(|| "not told".into())));
    }
    if let Some(host) = plan.host(&spec.id) {
        let (status, reason, message) = step(host);
        row("plan", plain(format!("{}, {status} ({reason}): {message}", host.state)));
    }
    table.print(out)?;
    if let Some(fault) = &answer.fault {
        writeln!(out, "\n{fault}")?;
        writeln!(out, "What you can do: {}", fault.reason.advice())?;
    }
    if let Some(look) = look.filter(|look| !look.log.is_empty()) {
        writeln!(out, "\nIts event log, newest first:")?;
        let mut table = Table::new(&["WHEN", "SEVERITY", "WHAT"]);
        for entry in &look.log {
            let text = |text: &Option<String>| plain(text.clone().unwrap_or_else(|| "-".into()));
            table.row([text(&entry.at), text(&entry.severity), plain(entry.message.clone())]);
        }
        table.print(out)?;
    }
    Ok(())
}
