//! What can go wrong over SSH, and what follows from it.
#![allow(missing_docs, reason = "the messages say what the fields are")]

use std::time::Duration;

use crate::model::{Fault, Reason, span};

/// Why something over SSH did not work. Never holds a command, a file's contents or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// No session came about; nothing was begun.
    #[error("{who} cannot be reached over SSH: {why}")]
    Unreachable { who: String, why: String },
    /// It showed another host key than the one that is pinned; it was told nothing.
    #[error(
        "{who} shows another host key than before: {shown} instead of {pinned}; nothing was sent. If it was reinstalled \
         by somebody else, raise its generation; otherwise somebody may be in between"
    )]
    HostKeyChanged { who: String, pinned: String, shown: String },
    #[error("{who} has no host key that can be used: it offers {theirs}; an ed25519 key is wanted")]
    NoHostKey { who: String, theirs: String },
    #[error("the host key that is known of {who} cannot be used: {why}; a reinstall lets it be learned anew")]
    BadPin { who: String, why: String },
    #[error("{who} refuses user {user} with the key {key}: is its public half in that user's authorized_keys?")]
    Refused { who: String, user: String, key: String },
    #[error("deploy.ssh_key cannot be used: {0}")]
    Key(String),
    #[error("the connection to {who} was lost: {why}")]
    Lost { who: String, why: String },
    /// A command took too long, and was left alone.
    #[error("a command on {who} did not end within {}", span(*limit))]
    TimedOut { who: String, limit: Duration },
    #[error("{who} refuses {what}")]
    Denied { who: String, what: String },
    #[error("{what} cannot be written on {who}: {why}")]
    File { who: String, what: String, why: String },
}

impl SshError {
    /// The fault of an action that this ends, as long as nothing that matters was begun.
    pub fn fault(&self) -> Fault {
        let message = self.to_string();
        match self {
            SshError::Unreachable { .. } => Fault::transient(Reason::SshUnreachable, message),
            SshError::HostKeyChanged { .. } => Fault::operator(Reason::HostKeyChanged, message),
            SshError::NoHostKey { .. } => Fault::operator(Reason::SshNoHostKey, message),
            SshError::BadPin { .. } => Fault::operator(Reason::HostKeyUnusable, message),
            SshError::Refused { .. } => Fault::operator(Reason::SshRefused, message),
            SshError::Key(_) => Fault::operator(Reason::SshKeyUnusable, message),
            SshError::Lost { .. } => Fault::transient(Reason::SshLost, message),
            SshError::TimedOut { .. } => Fault::transient(Reason::SshTimedOut, message),
            SshError::Denied { .. } => Fault::operator(Reason::SshDenied, message),
            SshError::File { .. } => Fault::transient(Reason::SshFile, message),
        }
    }
}
