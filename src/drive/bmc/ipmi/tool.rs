//! One call of the program `ipmitool`: bounded, with the password in its environment only.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::super::endpoint::Endpoint;
use super::super::transport::Transport;
use super::refusal;
use crate::drive::process::{Output, ProcessError, Run};
use crate::model::{Fault, Reason, Secret};

/// The most that is read of one answer: a full system event log is smaller.
const OUTPUT_LIMIT: usize = 1 << 20;
/// Bytes of a password (IPMI 2.0 section 22.30); the program refuses longer ones.
const PASSWORD_LIMIT: usize = 20;
/// Cipher suites (IPMI 2.0 table 22-20 and its errata), the better one first: 17 is HMAC-SHA256 with AES, 3 HMAC-SHA1
/// with AES. Others leave something in the clear. One is always named: asked to choose, the program takes 3 to 10 seconds
/// with BMCs that do not say what they have.
const SUITES: [u8; 2] = [17, 3];

/// What kind of call it is: how often it may be sent, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads, or sets what may be set twice: a lost packet is sent again.
    Look,
    /// Reads a great deal, slowly.
    Long,
    /// Does something that must not be done twice: sent once, and answered late by some.
    Act,
}

impl Kind {
    /// `-N` (seconds for an answer, one more after each try) and `-R` (tries).
    fn pace(self) -> [&'static str; 4] {
        match self {
            Kind::Look | Kind::Long => ["-N", "2", "-R", "2"],
            Kind::Act => ["-N", "5", "-R", "1"],
        }
    }
}

/// The program, for one BMC: its address and account, and the cipher suite that it takes.
pub struct Ipmitool {
    endpoint: Endpoint,
    /// 0 while it is not known.
    suite: AtomicU8,
}

impl Ipmitool {
    pub fn new(endpoint: Endpoint) -> Self {
        Ipmitool { endpoint, suite: AtomicU8::new(0) }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The cipher suite that the BMC has taken.
    pub fn suite(&self) -> Option<u8> {
        Some(self.suite.load(Ordering::Relaxed)).filter(|suite| *suite != 0)
    }

    pub(super) fn who(&self) -> String {
        self.endpoint.who()
    }

    /// Runs one command, reading or setting what may be set twice.
    pub(super) async fn look(&self, command: &[&str]) -> Result<String, Fault> {
        self.call(Kind::Look, command).await
    }

    /// Runs one command. The first finds out whether the account is accepted, and with which cipher
    /// suite; it must be one whose answer the program's `-v` leaves alone, so that others are preceded by one that is.
    pub(super) async fn call(&self, kind: Kind, command: &[&str]) -> Result<String, Fault> {
        let suite = match self.suite() {
            Some(suite) => suite,
            None => self.greet().await?,
        };
        let output = self.run(kind, suite, false, command).await?;
        if output.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let fault = refusal::read(&output.stderr, &self.who());
        if !refusal::in_session(&fault) {
            // Without `-v` nobody knows what went wrong with a session; the next call finds out.
            self.suite.store(0, Ordering::Relaxed);
        }
        Err(fault)
    }

    /// Finds out the cipher suite. The second is tried only when the BMC refused the first before it looked at the
    /// account, so that a wrong password is one failed login.
    pub(super) async fn greet(&self) -> Result<u8, Fault> {
        let length = self.endpoint.password.reveal().len();
        if length > PASSWORD_LIMIT {
            let message = format!("the password for {} has {length} bytes; IPMI takes {PASSWORD_LIMIT}", self.who());
            return Err(Fault::operator(Reason::PasswordTooLong, message));
        }
        let mut refused = refusal::read("", &self.who());
        for suite in SUITES {
            let output = self.run(Kind::Look, suite, true, &["chassis", "power", "status"]).await?;
            refused = refusal::read(&output.stderr, &self.who());
            if output.success() || refusal::in_session(&refused) {
                self.suite.store(suite, Ordering::Relaxed);
                return Ok(suite);
            }
            if refused.reason != Reason::CipherSuiteRefused {
                break;
            }
        }
        Err(refused)
    }

    /// What comes before the command itself.
    fn arguments(&self, suite: u8, command: &[&str]) -> Vec<String> {
        let (address, port) = (self.endpoint.address.to_string(), self.endpoint.ipmi_port.to_string());
        let suite = suite.to_string();
        // `-E`: the password is in the environment, where only this user's processes can read it.
        let account = ["-I", "lanplus", "-H", &address, "-p", &port, "-U", &self.endpoint.username, "-E", "-C", &suite];
        account.iter().chain(command).map(|word| (*word).to_owned()).collect()
    }

    async fn run(&self, kind: Kind, suite: u8, verbose: bool, command: &[&str]) -> Result<Output, Fault> {
        let verbose = if verbose { &["-v"][..] } else { &[] };
        let words: Vec<&str> = kind.pace().iter().chain(verbose).chain(command).copied().collect();
        let args = self.arguments(suite, &words);
        let timeouts = &self.endpoint.timeouts;
        let limit = if kind == Kind::Long { timeouts.action } else { timeouts.request * 2 };
        let ended = match &self.endpoint.transport {
            Transport::Network => program(args, &self.endpoint.password, limit).output().await,
            Transport::Local(bmc) => {
                match tokio::time::timeout(limit, bmc.ipmitool(&args, &self.endpoint.password)).await {
                    Ok(ended) => ended,
                    Err(_) => Err(ProcessError::TimedOut("ipmitool".into(), limit)),
                }
            }
        };
        ended.map_err(|error| self.did_not_run(error))
    }

    /// The program's run that hands the terminal through to the serial console.
    pub(super) fn console(&self, suite: u8) -> Run {
        program(self.arguments(suite, &["sol", "activate"]), &self.endpoint.password, Duration::MAX)
    }

    pub(super) fn did_not_run(&self, error: ProcessError) -> Fault {
        match error {
            ProcessError::NotFound(_) => Fault::operator(
                Reason::ProgramMissing,
                "`ipmitool` is not installed (Debian package ipmitool); BMCs without Redfish are reached with it",
            ),
            ProcessError::TimedOut(..) => {
                Fault::transient(Reason::Unreachable, format!("{} does not answer over IPMI ({error})", self.who()))
            }
            ProcessError::Start(..) | ProcessError::Io(..) => {
                Fault::transient(Reason::ProgramFailed, error.to_string())
            }
        }
    }
}

fn program(args: Vec<String>, password: &Secret, limit: Duration) -> Run {
    let run = Run::new("ipmitool").args(args).env("IPMI_PASSWORD", password.reveal()).time_limit(limit);
    Run { output_limit: OUTPUT_LIMIT, ..run }
}
