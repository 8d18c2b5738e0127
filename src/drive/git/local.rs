//! Reading a person's own repository on this machine: a working tree's or a bare one, wherever they stand in it.

use std::path::{Path, PathBuf};

use gix::ObjectId;

use super::error::GitError;
use super::mirror;
use super::tree::{self, Snapshot};
use crate::model::Revision;
use crate::plan::report::Files;

/// A repository of somebody's.
pub struct Local(gix::Repository);

/// Why it could not be read, for people.
fn unreadable(error: impl std::fmt::Display) -> GitError {
    GitError::Unreachable(error.to_string())
}

impl Local {
    /// The repository that `path` is in. gix does not find one at a relative path that leads upwards first.
    pub fn discover(path: &Path) -> Result<Local, GitError> {
        match path.canonicalize().ok().and_then(|path| gix::discover(path).ok()) {
            Some(repo) => Ok(Local(repo)),
            None => Err(GitError::Unreachable(format!("{} is not in a Git repository", path.display()))),
        }
    }

    /// The top of its working tree; `None` for a bare one.
    pub(crate) fn workdir(&self) -> Option<PathBuf> {
        self.0.workdir().map(Path::to_path_buf)
    }

    /// The commit that `name` means: a branch, a tag, a commit id, `HEAD~2`.
    pub fn resolve(&self, name: &str) -> Result<Revision, GitError> {
        let missing = |_| GitError::RevisionMissing(format!("`{name}`"));
        let id = self.0.rev_parse_single(name).map_err(missing)?;
        let commit = id.object().and_then(|object| object.peel_to_commit()).map_err(missing)?;
        Ok(Revision::new(commit.id.to_string()))
    }

    /// The files of a commit.
    pub fn snapshot(&self, revision: &Revision) -> Result<Snapshot, GitError> {
        tree::read(&self.0, mirror::object_id(revision)?)
    }

    /// The commit and files of a status branch: the newer of the local branch and the one fetched from `origin`, or
    /// whatever `name` means.
    pub fn status(&self, name: &str) -> Result<Option<(Revision, Files)>, GitError> {
        let mut found: Vec<(i64, ObjectId)> = Vec::new();
        for full in [format!("refs/heads/{name}"), format!("refs/remotes/origin/{name}"), name.to_string()] {
            let Ok(revision) = self.resolve(&full) else { continue };
            let id = mirror::object_id(&revision)?;
            let time = self.0.find_commit(id).map_err(unreadable)?.time().map_err(unreadable)?;
            found.push((time.seconds, id));
        }
        let Some((_, id)) = found.into_iter().max_by_key(|(time, _)| *time) else { return Ok(None) };
        let files = tree::texts(tree::read(&self.0, id)?);
        Ok(Some((mirror::revision(id), files)))
    }
}
