//! What went wrong: faults of actions, classed by what happens next, and findings about a repository.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::Reason;
use super::words::words;

/// Why an action failed, in the words a person gets to read. Never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "StoredFault")]
pub struct Fault {
    /// What happens next.
    pub class: FaultClass,
    /// The word for machines.
    pub reason: Reason,
    /// One sentence for people: what failed, where, and if known what to do.
    pub message: String,
}

/// A fault as a journal or status branch holds it, by whatever version.
#[derive(Deserialize, JsonSchema)]
struct StoredFault {
    class: FaultClass,
    reason: String,
    message: String,
}

impl From<StoredFault> for Fault {
    fn from(StoredFault { class, reason, message }: StoredFault) -> Self {
        match reason.parse() {
            Ok(reason) => Fault { class, reason, message },
            Err(_) => Fault { class, reason: Reason::Unknown, message: format!("{reason}: {message}") },
        }
    }
}

words! {
    /// The class of a [`Fault`] decides what happens next.
    FaultClass {
        /// May pass by itself: tried again with backoff.
        Transient "transient"
        /// The other side will not do this; tried again at the slowest pace only, shown as `Stalled`.
        Permanent "permanent"
        /// A person must change something in the repository first; never tried again before that (wrong credentials: a
        /// second try could lock the account).
        Operator "operator"
    }
}

impl Fault {
    /// A fault that may pass by itself.
    pub fn transient(reason: Reason, message: impl Into<String>) -> Self {
        Fault { class: FaultClass::Transient, reason, message: message.into() }
    }
    /// A refusal that repeating will not change.
    pub fn permanent(reason: Reason, message: impl Into<String>) -> Self {
        Fault { class: FaultClass::Permanent, reason, message: message.into() }
    }
    /// A fault that waits for a change in the repository.
    pub fn operator(reason: Reason, message: impl Into<String>) -> Self {
        Fault { class: FaultClass::Operator, reason, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

words! {
    /// How bad a [`Finding`] is.
    Severity {
        /// The revision is refused.
        Error "error"
        /// The revision is taken; a person should look.
        Warning "warning"
    }
}

/// One thing found wrong in a repository or a settings file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Path inside the repository.
    pub path: String,
    /// Line, from 1; 0 when the finding is about the whole file.
    pub line: u32,
    /// Column, from 1; 0 when the finding is about the whole file.
    pub column: u32,
    /// Error or warning.
    pub severity: Severity,
    /// A stable word for machines and suppression lists (`duplicate-mac`, `unknown-key`).
    pub code: String,
    /// What is wrong. Never carries a secret value.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// An error at a place.
    pub fn error(path: &str, (line, column): (u32, u32), code: &str, message: impl Into<String>) -> Self {
        Finding {
            path: path.into(),
            line,
            column,
            severity: Severity::Error,
            code: code.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// A warning at a place.
    pub fn warning(path: &str, place: (u32, u32), code: &str, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, ..Finding::error(path, place, code, message) }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Finding {
    /// `file:line:col: error: message`, the shape editors and forges parse.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: {}", self.path, self.line, self.column, self.severity, self.message)
    }
}
