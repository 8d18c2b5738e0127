//! What went wrong: faults of actions, classed by what happens next, and findings about a repository.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an action failed, in the words a person gets to read. Never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens next.
    pub class: FaultClass,
    /// One CamelCase word for machines (`Unreachable`, `AuthenticationFailed`), as in GitOps conditions.
    pub reason: String,
    /// One sentence for people: what failed, where, and if known what to do.
    pub message: String,
}

/// The class of a [`Fault`] decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultClass {
    /// May pass by itself: tried again with backoff.
    Transient,
    /// The other side will not do this; tried again at the slowest pace only, shown as `Stalled`.
    Permanent,
    /// A person must change something in the repository first; never tried again before that (wrong credentials: a
    /// second try could lock the account).
    Operator,
}

impl Fault {
    /// Reason of a fault after which the action may nevertheless have taken effect.
    pub const OUTCOME_UNKNOWN: &'static str = "OutcomeUnknown";

    /// Reason of a fault that says that a task's service does not answer yet (a hook's `ready`): nothing was begun.
    pub const NOT_READY: &'static str = "NotReady";

    /// Reason of a fault in which a BMC refused an account.
    pub const AUTHENTICATION_FAILED: &'static str = "AuthenticationFailed";

    /// Reason of a fault in which a BMC showed another certificate than the one that is trusted.
    pub const CERTIFICATE_CHANGED: &'static str = "CertificateChanged";

    /// Reason of a fault in which the kept copy of files that a playbook made is missing or damaged.
    pub const GENERATED_LOST: &'static str = "GeneratedFilesLost";

    /// Reason of a fault in which somebody else changed, on the watched branch, what a playbook made as well.
    pub const WRITE_CONFLICT: &'static str = "WriteBackConflict";

    /// A fault that may pass by itself.
    pub fn transient(reason: &str, message: impl Into<String>) -> Self {
        Fault { class: FaultClass::Transient, reason: reason.into(), message: message.into() }
    }
    /// A refusal that repeating will not change.
    pub fn permanent(reason: &str, message: impl Into<String>) -> Self {
        Fault { class: FaultClass::Permanent, reason: reason.into(), message: message.into() }
    }
    /// A fault that waits for a change in the repository.
    pub fn operator(reason: &str, message: impl Into<String>) -> Self {
        Fault { class: FaultClass::Operator, reason: reason.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The revision is refused.
    Error,
    /// The revision is taken; a person should look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One thing found wrong in a repository or a settings file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
