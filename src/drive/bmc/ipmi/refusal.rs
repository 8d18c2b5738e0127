//! Why `ipmitool` failed, told from its standard error: the program has one exit status for everything.
//!
//! Run with `-v` it names the message of the handshake (IPMI 2.0 section 13.15 and following) that went wrong, which is
//! all that tells a wrong password from a BMC that does not answer.

use super::answer;
use crate::model::{Fault, FaultClass, Reason};

/// Whether a BMC refused a command that it need not have. Some say of such a command that it failed, without a reason.
pub(super) fn declined(fault: &Fault) -> bool {
    fault.class == FaultClass::Permanent || fault.reason == Reason::IpmiError
}

/// Whether there was a session, and only the command was refused or failed in it.
pub(super) fn in_session(fault: &Fault) -> bool {
    matches!(fault.reason, Reason::IpmiRefused | Reason::IpmiError)
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

/// Reads the standard error of a call that failed; `who` names the BMC.
pub(super) fn read(stderr: &str, who: &str) -> Fault {
    let said: Vec<String> =
        answer::lines(stderr).map(|line| line.trim().to_owned()).filter(|line| says(line)).collect();
    let find = |what: &str| said.iter().find(|line| line.to_ascii_lowercase().contains(what)).cloned();
    let last = || said.last().cloned().unwrap_or_else(|| "it gives no reason".to_owned());
    if find("unable to establish").is_none() {
        return command(&said, last(), who);
    }
    // A BMC that knows the password proves it in RAKP message 2 before we do: a wrong one is found by ourselves.
    if let Some(line) = find("rakp 2 hmac is invalid") {
        return account(&line, who);
    }
    if let Some(line) = find("rakp 2 message indicates").or_else(|| find("rakp 4 message")) {
        let low = line.to_ascii_lowercase();
        return match () {
            () if low.contains("insufficient resources") => busy(&line, who),
            () if low.contains("role") => privilege(&line, who),
            () => account(&line, who),
        };
    }
    if let Some(line) = find("error in open session response") {
        let low = line.to_ascii_lowercase();
        let algorithm = ALGORITHMS.iter().any(|word| low.contains(word));
        return match algorithm && !low.contains("insufficient resources") {
            true => suite(&line, who),
            false => busy(&line, who),
        };
    }
    // Of the program itself: versions before 1.8.19 may have been built without SHA-256.
    if let Some(line) = find("unsupported cipher suite") {
        return suite(&line, who);
    }
    if find("does not support ipmi v2").is_some() {
        return Fault::permanent(Reason::NotIpmi20, format!("{who} does not speak IPMI 2.0 (RMCP+)"));
    }
    if let Some(line) = find("set session privilege level") {
        // A refusal has a completion code behind a colon.
        return match line.contains("failed:") {
            true => privilege(&line, who),
            // Nobody answered the Open Session Request either: some BMCs drop what they do not know.
            false if find("rakp").is_none() => suite(&format!("{line}; no answer to the opening of a session"), who),
            false => silent(&line, who),
        };
    }
    silent(&find("error").unwrap_or_else(last), who)
}

/// Lines that say why, unlike those about what the program does.
fn says(line: &str) -> bool {
    const CHATTER: [&str; 4] = ["Loading IANA", "Running Get", "Discovered IPMB", "Using best"];
    !line.is_empty() && !CHATTER.iter().any(|start| line.starts_with(start))
}

/// A refusal in a session.
fn command(said: &[String], last: String, who: &str) -> Fault {
    let line = said.iter().find(|line| line.contains("rsp=0x") || line.contains("ailed")).cloned().unwrap_or(last);
    let low = line.to_ascii_lowercase();
    let coded = low.contains("rsp=0x") || low.contains(": ");
    match () {
        () if low.contains("insufficient privilege") => privilege(&line, who),
        () if low.ends_with("unspecified error") => Fault::transient(Reason::IpmiError, format!("{who}: {line}")),
        () if PASSING.iter().any(|passing| low.contains(passing)) => busy(&line, who),
        // Without a completion code there was no answer.
        () if low.starts_with("unable to") && !coded => silent(&line, who),
        () if low.ends_with("failed") => silent(&line, who),
        () => Fault::permanent(Reason::IpmiRefused, format!("{who}: {line}")),
    }
}

/// The account is refused, and the BMC may have counted the attempt.
fn account(why: &str, who: &str) -> Fault {
    let why = why.trim_start_matches("> ");
    let hint = "over IPMI a password has at most 20 bytes, on some BMCs 16";
    let message = format!("{who} does not take this user name and password over IPMI ({why}); {hint}");
    Fault::operator(Reason::AuthenticationFailed, message)
}

fn privilege(why: &str, who: &str) -> Fault {
    let message = format!("{who}: the account is not an administrator over IPMI ({why})");
    Fault::operator(Reason::InsufficientPrivilege, message)
}

/// The cipher suite is refused; the BMC has not looked at the account yet.
fn suite(why: &str, who: &str) -> Fault {
    let message = format!("{who} takes neither cipher suite 17 nor 3 ({why}); allow one of them on the BMC");
    Fault::permanent(Reason::CipherSuiteRefused, message)
}

fn busy(why: &str, who: &str) -> Fault {
    Fault::transient(Reason::BmcBusy, format!("{who}: {why}"))
}

fn silent(why: &str, who: &str) -> Fault {
    Fault::transient(Reason::Unreachable, format!("{who} does not answer over IPMI ({why})"))
}
