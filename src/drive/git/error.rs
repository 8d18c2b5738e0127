//! What can go wrong with a repository, and what git's words mean.
#![allow(missing_docs, reason = "the messages say what the fields are")]

use crate::drive::process::{Output, ProcessError};
use crate::model::{Fault, Reason, span};
use crate::settings::without_credentials;

/// Why something could not be done with a repository.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Network, host or path: may pass by itself.
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    AuthenticationFailed(String),
    #[error("{0}")]
    HostKeyRefused(String),
    #[error("the repository has no branch `{0}`; is repository.branch right, and has something been pushed?")]
    BranchMissing(String),
    #[error("somebody else kept pushing to `{branch}` at the same time: {said}")]
    PushRace { branch: String, said: String },
    #[error("the push was refused: {0}")]
    PushRefused(String),
    #[error(
        "somebody else changed {0} on the watched branch since the playbook was run: put that back as it was (and change \
         it again once the generated files are pushed), or raise the cluster's `run` to give up the generated ones"
    )]
    Conflict(String),
    /// A file cannot be put at its path.
    #[error("{0}")]
    Blocked(String),
    #[error("{0}")]
    Signing(String),
    #[error("a generated file cannot be encrypted: {0}")]
    Sealing(String),
    #[error("the mirror in the state directory cannot be used: {0}")]
    Mirror(String),
    #[error("the mirror does not hold revision {0}")]
    RevisionMissing(String),
    #[error("revision {revision} holds more than {limit}")]
    TooLarge { revision: String, limit: String },
    /// The work was not finished.
    #[error("interrupted: {0}")]
    Interrupted(String),
    #[error(transparent)]
    Process(ProcessError),
}

impl From<ProcessError> for GitError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::TimedOut(_, limit) => GitError::Unreachable(format!("no answer within {}", span(limit))),
            other => GitError::Process(other),
        }
    }
}

impl From<GitError> for Fault {
    fn from(error: GitError) -> Self {
        let message = error.to_string();
        match error {
            GitError::Unreachable(_) => Fault::transient(Reason::Unreachable, message),
            GitError::AuthenticationFailed(_) => Fault::operator(Reason::AuthenticationFailed, message),
            GitError::HostKeyRefused(_) => Fault::operator(Reason::HostKeyRefused, message),
            GitError::BranchMissing(_) => Fault::transient(Reason::BranchMissing, message),
            GitError::PushRace { .. } => Fault::transient(Reason::PushRace, message),
            GitError::PushRefused(_) => Fault::permanent(Reason::PushRefused, message),
            GitError::Conflict(_) => Fault::operator(Reason::WriteBackConflict, message),
            GitError::Blocked(_) => Fault::operator(Reason::WriteBackBlocked, message),
            GitError::Signing(_) => Fault::operator(Reason::SigningFailed, message),
            GitError::Sealing(_) => Fault::operator(Reason::EncryptionFailed, message),
            GitError::Mirror(_) => Fault::transient(Reason::MirrorUnusable, message),
            GitError::RevisionMissing(_) => Fault::permanent(Reason::RevisionMissing, message),
            GitError::TooLarge { .. } => Fault::permanent(Reason::TreeTooLarge, message),
            GitError::Interrupted(_) => Fault::transient(Reason::DriverFailed, message),
            GitError::Process(ProcessError::NotFound(_)) => Fault::permanent(Reason::GitMissing, message),
            GitError::Process(_) => Fault::transient(Reason::GitFailed, message),
        }
    }
}

/// What git's failure means. `remote` is the repository's address, without credentials.
pub(crate) fn classify(output: &Output, remote: &str) -> GitError {
    let said = |words: &[&str]| words.iter().any(|word| output.stderr.contains(word));
    let message = format!("{remote}: {}", summary(&output.stderr));
    if said(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "No ED25519 host key"]) {
        return GitError::HostKeyRefused(format!("{message} (repository.known_hosts must hold its key)"));
    }
    let refused = [
        "Permission denied (",
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "terminal prompts disabled",
        "HTTP Basic: Access denied",
        "The requested URL returned error: 401",
        "The requested URL returned error: 403",
        "dubious ownership",
    ];
    if said(&refused) {
        return GitError::AuthenticationFailed(message);
    }
    // These words are about our mirror only when the remote side does not say them.
    let local = output.stderr.lines().filter(|line| !line.starts_with("remote:"));
    let broken = ["loose object", "object file", "is corrupt", "unable to read", "Unable to create", "bad object"];
    if local.into_iter().any(|line| broken.iter().any(|word| line.contains(word)) && !line.contains(remote)) {
        return GitError::Mirror(summary(&output.stderr));
    }
    GitError::Unreachable(message)
}

/// The part of git's standard error that tells a person what happened, at most a few lines, without credentials.
pub fn summary(stderr: &str) -> String {
    let noise = ["Please make sure", "and the repository exists", "hint:", "To "];
    let telling = |line: &&str| !line.is_empty() && !noise.iter().any(|word| line.starts_with(word));
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(telling).take(6).map(redact).collect();
    let text = lines.join("; ");
    match text.char_indices().nth(400) {
        _ if text.is_empty() => "git gave no reason".into(),
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Takes credentials out of every URL in a line.
pub(crate) fn redact(line: &str) -> String {
    let clean = |word: &str| {
        let start = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        format!("{}{}", &word[..start], without_credentials(&word[start..]))
    };
    line.split(' ').map(clean).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FaultClass;

    fn class(stderr: &str) -> (FaultClass, Reason) {
        let output = Output { status: Some(128), stdout: Vec::new(), stderr: stderr.into(), truncated: false };
        let fault = Fault::from(classify(&output, "ssh://git@forge.example.net/infra.git"));
        (fault.class, fault.reason)
    }

    #[test]
    fn git_s_words_are_classed() {
        let operator = |reason| (FaultClass::Operator, reason);
        let transient = |reason| (FaultClass::Transient, reason);
        assert_eq!(class("git@x: Permission denied (publickey)."), operator(Reason::AuthenticationFailed));
        assert_eq!(
            class("fatal: could not read Username for 'https://x': terminal prompts disabled"),
            operator(Reason::AuthenticationFailed)
        );
        assert_eq!(class("Host key verification failed.\nfatal: Could not read"), operator(Reason::HostKeyRefused));
        assert_eq!(class("ssh: Could not resolve hostname forge.example.net"), transient(Reason::Unreachable));
        assert_eq!(class("fatal: unable to access 'https://x/': Failed to connect"), transient(Reason::Unreachable));
        assert_eq!(class("error: object file ./objects/aa/bb is empty"), transient(Reason::MirrorUnusable));
        assert_eq!(class("remote: error: object file x is empty"), transient(Reason::Unreachable));
    }

    #[test]
    fn credentials_never_show() {
        let text = summary("fatal: unable to access 'https://bob:geheim@forge.example.net/x.git/': no\nhint: y");
        assert_eq!(text, "fatal: unable to access 'https://forge.example.net/x.git/': no");
        assert_eq!(redact("ssh://git:geheim@forge.example.net/x"), "ssh://git@forge.example.net/x");
    }
}
