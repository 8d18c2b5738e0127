//! Whether the status branch could be pushed to, without pushing anything.
#![allow(missing_docs, reason = "names that say all have no comment")]

use super::error::GitError;
use super::remote::{CALL_LIMIT, Git};
use crate::model::Fault;

/// What may be pushed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Existing,
    New,
}

impl Git {
    /// Rehearses a push to the status branch. The remote asks for the right to write before it lists what it has, so a
    /// key that may only read is found out; hooks and branch protection speak only when something really comes.
    pub(crate) async fn may_push(&self) -> Result<Reach, Fault> {
        let _turn = self.turn().await?;
        let (watched, status) = self.note(self.sync().await)?;
        let name = &self.0.status_branch;
        let Some(commit) = status.or(watched) else {
            return Err(GitError::BranchMissing(self.0.branch.clone()).into());
        };
        // Whether the branch has moved on meanwhile (a daemon may be running) is not the question, so the rehearsal forces:
        // nothing is sent by it.
        let refspec = format!("+{commit}:refs/heads/{name}");
        let options = ["push", "--dry-run", "--porcelain", "--no-verify", "--recurse-submodules=no", "--"];
        let args = options.into_iter().chain([self.0.caller.remote.as_str(), &refspec]);
        self.0.caller.run(args, CALL_LIMIT).await?;
        Ok(if status.is_some() { Reach::Existing } else { Reach::New })
    }
}
