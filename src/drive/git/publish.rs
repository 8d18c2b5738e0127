//! Bringing the status branch up to date. The commit is always built on the remote's head and pushed with a lease on
//! it, so that a foreign commit is never overwritten; when somebody was faster, the commit is built again on theirs.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gix::ObjectId;

use super::error::{GitError, classify, summary};
use super::mirror::revision;
use super::remote::{CALL_LIMIT, Git, Head, aside};
use super::{commit, mirror};
use crate::drive::process::Output;
use crate::model::{Fault, Revision, Time};
use crate::plan::report::Files;

/// How many times a commit is built on a newer head before giving up. Part of one push's protocol, not a retry.
pub(super) const TRIES: usize = 5;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Done,
    Raced(String),
}

impl Git {
    /// Makes the status branch hold exactly these files at our paths (`commit::OWNED`); files of others stay.
    /// Gives the commit, or `None` when nothing had to change. After a push whose end is not known the remote's head
    /// is looked up first, so that nothing is published twice.
    pub async fn publish(&self, files: &Files, message: &str, at: Time) -> Result<Option<Revision>, Fault> {
        let message = message.to_owned();
        self.publish_after(files, at, move |_| message.clone()).await
    }

    /// Likewise, with a message that depends on the commit it is built on, whose `rack.yaml` is handed in: a push that
    /// was believed lost, or that a killed daemon had begun, may arrive at any moment, and what it told is not told
    /// again.
    pub(crate) async fn publish_after(
        &self,
        files: &Files,
        at: Time,
        message: impl Fn(Option<&str>) -> String + Send + Sync + 'static,
    ) -> Result<Option<Revision>, Fault> {
        let _turn = self.turn().await?;
        let result = self.try_publish(files, at, Arc::new(message)).await;
        if result.is_err() {
            self.0.status_known.store(false, Ordering::Relaxed);
        }
        Ok(self.note(result)?)
    }

    async fn try_publish<M>(&self, files: &Files, at: Time, message: Arc<M>) -> Result<Option<Revision>, GitError>
    where
        M: Fn(Option<&str>) -> String + Send + Sync + 'static,
    {
        let (mut why, files) = (String::new(), Arc::new(files.clone()));
        for _ in 0..TRIES {
            if !self.0.status_known.load(Ordering::Relaxed) {
                self.sync().await?;
            }
            let (parent, commit) = self.build(&files, at, message.clone()).await?;
            let Some(commit) = commit else { return Ok(None) };
            match self.push(&self.0.status_branch, parent, commit).await? {
                Pushed::Done => {
                    mirror::set(&mirror::open(&self.0.caller.mirror)?, mirror::STATUS, commit)?;
                    return Ok(Some(revision(commit)));
                }
                Pushed::Raced(said) => {
                    self.0.status_known.store(false, Ordering::Relaxed);
                    why = said;
                }
            }
        }
        Err(GitError::PushRace { branch: self.0.status_branch.clone(), said: why })
    }

    async fn build<M>(&self, files: &Arc<Files>, at: Time, message: Arc<M>) -> Result<(Head, Head), GitError>
    where
        M: Fn(Option<&str>) -> String + Send + Sync + 'static,
    {
        let (mirror, files) = (self.0.caller.mirror.clone(), files.clone());
        aside(move || {
            let repo = mirror::open(&mirror)?;
            let parent = mirror::head(&repo, mirror::STATUS)?;
            let rack = parent.map(|parent| commit::text(&repo, parent, "rack.yaml")).transpose()?.flatten();
            Ok((parent, commit::build(&repo, parent, &files, &message(rack.as_deref()), at)?))
        })
        .await
    }

    /// Pushes a commit to a branch, with a lease on the head that it was built on.
    pub(super) async fn push(&self, branch: &str, old: Head, new: ObjectId) -> Result<Pushed, GitError> {
        let name = format!("refs/heads/{branch}");
        let old = old.map(|id| id.to_string()).unwrap_or_default();
        let lease = format!("--force-with-lease={name}:{old}");
        let refspec = format!("{new}:{name}");
        let options = ["push", "--porcelain", "--atomic", "--no-verify", "--recurse-submodules=no"];
        let args = options.into_iter().chain([lease.as_str(), "--", &self.0.caller.remote, &refspec]);
        judge(&self.0.caller.try_run(args, CALL_LIMIT).await?, &self.0.caller.remote)
    }
}

/// Reads `git push --porcelain`: one line `<flag>\t<from>:<to>\t<summary>` for each ref.
fn judge(output: &Output, remote: &str) -> Result<Pushed, GitError> {
    if output.success() {
        return Ok(Pushed::Done);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("!\t")) else {
        return Err(classify(output, remote));
    };
    let said = line.split_once('\t').map_or(line, |(_, said)| said);
    let raced = ["stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref"];
    let unlucky = ["incorrect old value", "reference already exists", "failed to lock", "atomic transaction failed"];
    if raced.iter().chain(&unlucky).any(|words| said.contains(words)) {
        return Ok(Pushed::Raced(said.to_string()));
    }
    if said.contains("unpacker error") {
        // Either end may have failed to handle the objects.
        if let mirror @ GitError::Mirror(_) = classify(output, remote) {
            return Err(mirror);
        }
    }
    let from_remote = |line: &str| line.strip_prefix("remote:").map(str::trim).map(str::to_string);
    let told: Vec<_> = output.stderr.lines().filter_map(from_remote).collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", summary(&told.join("\n"))) };
    Err(GitError::PushRefused(format!("{said}{told}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: &str, stderr: &str) -> Output {
        Output { status: Some(1), stdout: stdout.into(), stderr: stderr.into(), truncated: false }
    }

    #[test]
    fn a_race_is_told_from_a_refusal() {
        let raced = |said: &str| judge(&output(&format!("To x\n!\ta:refs/heads/s\t{said}\nDone\n"), ""), "x");
        for said in ["[rejected] (stale info)", "[rejected] (fetch first)", "[remote rejected] (failed to update ref)"]
        {
            assert_eq!(raced(said).unwrap(), Pushed::Raced(said.into()));
        }
        let refused = judge(
            &output("To x\n!\ta:refs/heads/s\t[remote rejected] (pre-receive hook declined)\n", "remote: not today\n"),
            "x",
        );
        let message = refused.unwrap_err().to_string();
        assert_eq!(message, "the push was refused: [remote rejected] (pre-receive hook declined): not today");
    }

    #[test]
    fn without_a_line_about_the_ref_the_remote_was_not_reached() {
        let error = judge(&output("", "ssh: Could not resolve hostname forge.example.net"), "x").unwrap_err();
        assert!(matches!(error, GitError::Unreachable(_)), "{error}");
    }
}
