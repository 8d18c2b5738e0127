//! Why `ipmitool` failed, told from its standard error: the program has one exit status for everything.
//!
//! Run with `-v` it names the message of the handshake (IPMI 2.0 section 13.15 and following) that went wrong, which is
//! all that tells a wrong password from a BMC that does not answer.

use super::answer;
use crate::model::{Fault, FaultClass, Reason};

/// Whether a BMC refused a command that it need not have.
pub(super) fn declined(fault: &Fault) -> bool {
    fault.class == FaultClass::Permanent || fault.reason == Reason::IpmiError
}

/// What a failed call means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The BMC does not take this cipher suite. It has not looked at the account yet.
    Suite(String),
    /// The BMC does not take this account, and may have counted the attempt.
    Account(String),
    /// The account may not do this.
    Privilege(String),
    /// The BMC has no session left, or is otherwise busy.
    Busy(String),
    /// It said nothing, or stopped saying anything.
    Silent(String),
    /// It speaks, but only IPMI 1.5.
    TooOld,
    /// The session stood, and the command failed without a reason: some BMCs say so of what they do not have, others when
    /// they are not well.
    Unspecified(String),
    /// The session stood, and the command was refused.
    Command(String),
}

/// Completion codes (IPMI 2.0 table 5-2), in the program's words, that pass by themselves.
const PASSING: [&str; 6] = [
    "node busy",
    ": timeout",
    "sdr repository in update mode",
    "device firmware in update mode",
    "bmc initialization in progress",
    "insufficient resources",
];
/// Words about the algorithms of a cipher suite in an Open Session Response (table 13-15).
const ALGORITHMS: [&str; 4] = ["algorithm", "no matching", "illegal parameter", "role"];

/// Reads the standard error of a call that failed.
pub(super) fn read(stderr: &str) -> Refusal {
    let said: Vec<String> =
        answer::lines(stderr).map(|line| line.trim().to_owned()).filter(|line| says(line)).collect();
    let find = |what: &str| said.iter().find(|line| line.to_ascii_lowercase().contains(what)).cloned();
    let last = || said.last().cloned().unwrap_or_else(|| "no word why".to_owned());
    if find("unable to establish").is_none() {
        return command(&said, last());
    }
    // A BMC that knows the password proves it in RAKP message 2 before we do: a wrong one is found by ourselves.
    if let Some(line) = find("rakp 2 hmac is invalid") {
        return Refusal::Account(line.trim_start_matches("> ").to_owned());
    }
    if let Some(line) = find("rakp 2 message indicates").or_else(|| find("rakp 4 message")) {
        let low = line.to_ascii_lowercase();
        return match () {
            () if low.contains("insufficient resources") => Refusal::Busy(line),
            () if low.contains("role") => Refusal::Privilege(line),
            () => Refusal::Account(line.trim_start_matches("> ").to_owned()),
        };
    }
    if let Some(line) = find("error in open session response") {
        let low = line.to_ascii_lowercase();
        return match () {
            () if low.contains("insufficient resources") => Refusal::Busy(line),
            () if ALGORITHMS.iter().any(|word| low.contains(word)) => Refusal::Suite(line),
            () => Refusal::Busy(line),
        };
    }
    // Of the program itself: versions before 1.8.19 may have been built without SHA-256.
    if let Some(line) = find("unsupported cipher suite") {
        return Refusal::Suite(line);
    }
    if find("does not support ipmi v2").is_some() {
        return Refusal::TooOld;
    }
    if let Some(line) = find("set session privilege level") {
        // A refusal has a completion code behind a colon.
        return match line.contains("failed:") {
            true => Refusal::Privilege(line),
            // Nobody answered the Open Session Request either: some BMCs drop what they do not know.
            false if find("rakp").is_none() => Refusal::Suite(format!("{line}; no answer to the opening of a session")),
            false => Refusal::Silent(line),
        };
    }
    Refusal::Silent(find("error").unwrap_or_else(last))
}

/// Lines that say why, unlike those about what the program does.
fn says(line: &str) -> bool {
    const CHATTER: [&str; 4] = ["Loading IANA", "Running Get", "Discovered IPMB", "Using best"];
    !line.is_empty() && !CHATTER.iter().any(|start| line.starts_with(start))
}

/// A refusal after the session stood.
fn command(said: &[String], last: String) -> Refusal {
    let line = said.iter().find(|line| line.contains("rsp=0x") || line.contains("ailed")).cloned().unwrap_or(last);
    let low = line.to_ascii_lowercase();
    let coded = low.contains("rsp=0x") || low.contains(": ");
    match () {
        () if low.contains("insufficient privilege") => Refusal::Privilege(line),
        () if low.ends_with("unspecified error") => Refusal::Unspecified(line),
        () if PASSING.iter().any(|passing| low.contains(passing)) => Refusal::Busy(line),
        // Without a completion code there was no answer.
        () if low.starts_with("unable to") && !coded => Refusal::Silent(line),
        () if low.ends_with("failed") => Refusal::Silent(line),
        () => Refusal::Command(line),
    }
}

impl Refusal {
    /// The fault it amounts to; `who` names the BMC.
    pub(super) fn fault(self, who: &str) -> Fault {
        match self {
            Refusal::Account(why) => {
                let hint = "over IPMI a password has at most 20 bytes, on some BMCs 16";
                let message = format!("{who} does not take this user name and password over IPMI ({why}); {hint}");
                Fault::operator(Reason::AuthenticationFailed, message)
            }
            Refusal::Privilege(why) => {
                let message = format!("{who}: the account is not an administrator over IPMI ({why})");
                Fault::operator(Reason::InsufficientPrivilege, message)
            }
            Refusal::Suite(why) => {
                let message =
                    format!("{who} takes neither cipher suite 17 nor 3 ({why}); allow one of them on the BMC");
                Fault::permanent(Reason::CipherSuiteRefused, message)
            }
            Refusal::TooOld => Fault::permanent(Reason::NotIpmi20, format!("{who} does not speak IPMI 2.0 (RMCP+)")),
            Refusal::Busy(why) => Fault::transient(Reason::BmcBusy, format!("{who}: {why}")),
            Refusal::Unspecified(why) => Fault::transient(Reason::IpmiError, format!("{who}: {why}")),
            Refusal::Silent(why) => {
                Fault::transient(Reason::Unreachable, format!("{who} does not answer over IPMI ({why})"))
            }
            Refusal::Command(why) => Fault::permanent(Reason::IpmiRefused, format!("{who}: {why}")),
        }
    }
}
