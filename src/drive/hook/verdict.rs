//! What the end of a hook's program means.
//!
//! A fault is transient only when nothing was begun, or when running the program twice is harmless.
#![allow(missing_docs, reason = "names that say all have no comment")]

use super::job::Job;
use crate::drive::log::Log;
use crate::drive::ssh::SshError;
use crate::model::{Fault, Reason, span};

/// The status with which a program says that nothing was changed and that it should be tried again (`EX_TEMPFAIL`).
const TRY_AGAIN: i64 = 75;
/// How many of its last lines are told.
const LINES: usize = 3;

pub(super) enum End {
    Status(i64),
    Signal(String),
    TimedOut,
}

impl Job<'_> {
    /// What becomes of a run whose program has ended. `place`: where that was.
    pub(super) fn verdict(&self, end: &End, place: &str, log: &mut Log) -> Result<(), Fault> {
        let (reason, how) = match end {
            End::Status(0) => return Ok(()),
            End::Status(TRY_AGAIN) => (Reason::TryAgain, "is to be tried again later".to_owned()),
            End::Status(126) => (Reason::HookFailed, "failed: exit status 126 (is its #! line right?)".to_owned()),
            End::Status(127) => {
                (Reason::HookFailed, "failed: exit status 127 (a program is not installed?)".to_owned())
            }
            End::Status(status) => (Reason::HookFailed, format!("failed: exit status {status}")),
            End::Signal(signal) => (Reason::HookFailed, format!("was ended by signal {signal}")),
            End::TimedOut => {
                (Reason::HookTimedOut, format!("was stopped at its time limit, {}", span(self.time_limit())))
            }
        };
        let said = log.tail(LINES);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let message = format!("{} {how} {place}{said}; all of it is in {}", self.name(), log.path().display());
        Err(match end {
            End::Status(TRY_AGAIN) => Fault::transient(reason, message),
            _ => self.after_begin(reason, message),
        })
    }

    /// The program was begun and contact was lost.
    pub(super) fn lost(&self, error: &SshError, log: &Log) -> Fault {
        let log = log.path().display();
        let message = format!("{}: {error}; nobody knows how far it came; what it said is in {log}", self.name());
        self.after_begin(Reason::OutcomeUnknown, message)
    }

    /// A fault of a program that may have changed something.
    pub(super) fn after_begin(&self, reason: Reason, message: String) -> Fault {
        match self.run.task.idempotent {
            true => Fault::transient(reason, message),
            false => Fault::operator(reason, message),
        }
    }

    /// A fault before the program was begun.
    pub(super) fn before(&self, error: &SshError) -> Fault {
        let fault = error.fault();
        Fault { message: format!("{}: {}", self.name(), fault.message), ..fault }
    }
}
