//! Every BMC of the repository, asked once, at the same time, within deadlines. Nothing is changed on any of them, and
//! an account that is known to be refused is not tried.

use std::io::Write;
use std::sync::Arc;

use super::Check;
use crate::cli::bmc::gather::{self, Answer, Certificate, How};
use crate::cli::bmc::{basics, known};
use crate::cli::table::Table;
use crate::drive::bmc::manual::types::Depth;
use crate::model::{Desired, HostSpec, Reason, World, some};
use crate::settings::Settings;

/// Asks them all. What is known of them is the daemon's, else the status branch's; which they are is the newest
/// revision's.
pub async fn look(settings: &Settings, desired: Desired) -> Vec<Answer> {
    let specs: Vec<Arc<HostSpec>> = desired.hosts.values().filter(|spec| spec.has_bmc()).cloned().collect();
    let known = match specs.is_empty() {
        true => None,
        false => known::world(settings).await.ok(),
    };
    let mut world = known.unwrap_or_else(|| World::new(Arc::new(settings.policy())));
    world.desired = Some(Arc::new(desired));
    let how = How { depth: Depth { log: 0, clock: crate::cli::now }, force: false };
    gather::all(settings, &world, &specs, how).await
}

/// One finding for everything that is right, and one for each kind of trouble. The daemon runs with all of them, and
/// goes on by itself when they are gone: nothing of it is a failure.
pub fn checks(answers: &[Answer]) -> Vec<Check> {
    let names = |wrong: &dyn Fn(&Answer) -> bool| -> Vec<&str> {
        answers.iter().filter(|answer| wrong(answer)).map(|answer| answer.host.as_str()).collect()
    };
    let reason = |answer: &Answer, reason: Reason| answer.fault.as_ref().is_some_and(|fault| fault.reason == reason);
    let silent = |answer: &Answer| answer.reachable == Some(false);
    let refused = |answer: &Answer| reason(answer, Reason::AuthenticationFailed);
    let untrusted = |answer: &Answer| matches!(answer.certificate, Certificate::Changed | Certificate::Failed);
    let unknown = |answer: &Answer| answer.address.is_none();
    let other = |answer: &Answer| answer.mac_matches == Some(false);
    let rest = |it: &Answer| it.fault.is_some() && !(silent(it) || refused(it) || untrusted(it) || unknown(it));
    let kinds: [(&str, Vec<&str>, &str); 6] = [
        (
            "no address known",
            names(&unknown),
            "power and cabling; the BMC asks for its address by DHCP once the daemon runs, or has bmc.address",
        ),
        ("silent", names(&silent), "power, cabling, routes and firewall between this machine and the BMC"),
        (
            "account refused",
            names(&refused),
            "correct bmc.username and bmc.password; it is not tried again, so that nothing is locked",
        ),
        (
            "TLS or certificate",
            names(&untrusted),
            "`rackwright bmc HOST diag` shows both certificates; a changed one is what an impostor looks like",
        ),
        (
            "another MAC",
            names(&other),
            "the BMC at this address is not the one in bootstrap.yml: look for a swapped cable or a wrong bmc.address",
        ),
        ("other trouble", names(&rest), "`rackwright bmc HOST diag` says more"),
    ];
    let sound = answers.iter().filter(|answer| answer.fault.is_none()).count();
    let mut checks = vec![Check::ok("BMCs", format!("{sound} of {} answer and take their account", answers.len()))];
    for (what, hosts, advice) in kinds.into_iter().filter(|(_, hosts, _)| !hosts.is_empty()) {
        checks.push(Check::warning(format!("BMCs: {what}"), some(&hosts, 6), advice));
    }
    checks
}

/// The table.
pub fn print(answers: &[Answer], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table =
        Table::new(&["BMC OF", "ADDRESS", "PROTOCOL", "CERTIFICATE", "ACCOUNT", "MAC", "FIRMWARE", "POWER"]);
    for answer in answers {
        table.row(basics(answer));
    }
    writeln!(out)?;
    table.print(out)?;
    Ok(())
}
