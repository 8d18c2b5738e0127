//! Making commits: of the report's files for the status branch, and in general. Only objects that are new get written.

use std::path::Path;
use std::time::Duration;

use gix::ObjectId;
use gix::actor::SignatureRef;
use gix::objs::WriteTo as _;
use gix::objs::tree::EntryKind;

use super::error::{GitError, summary};
use super::mirror::broken;
use crate::drive::process::Run;
use crate::model::Time;
use crate::plan::report::Files;

/// Who commits.
pub const AUTHOR: (&str, &str) = ("rackwright", "rackwright@localhost");

/// Entries at the root of the status branch that are ours to write and to remove; others are left as they are.
pub(crate) const OWNED: [&str; 6] = ["README.md", "rack.yaml", "rejected.yaml", "clusters", "hosts", "boot"];

const SIGN_LIMIT: Duration = Duration::from_secs(20);

/// A commit of ours that is not written yet.
pub struct Commit(gix::objs::Commit);

impl Commit {
    /// A commit of a tree on top of `parent` (or a first one).
    pub fn new(tree: ObjectId, parent: Option<ObjectId>, message: &str, at: Time) -> Self {
        let time = format!("{} +0000", at.0.div_euclid(1000).max(0));
        let who = SignatureRef { name: AUTHOR.0.into(), email: AUTHOR.1.into(), time: &time };
        Commit(gix::objs::Commit {
            tree,
            parents: parent.into_iter().collect(),
            author: who.into(),
            committer: who.into(),
            encoding: None,
            message: clean(message).into(),
            extra_headers: Vec::new(),
        })
    }

    /// Signs it with an SSH key, as `git commit -S` with `gpg.format=ssh` does: over the whole commit, in the namespace
    /// `git` (ssh-keygen(1), `-Y sign`).
    pub async fn sign(&mut self, key: &Path) -> Result<(), GitError> {
        let mut text = Vec::new();
        self.0.write_to(&mut text).map_err(broken)?;
        let run = Run::new("ssh-keygen").args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(key).cwd("/");
        let output = Run { stdin: text, ..run.time_limit(SIGN_LIMIT) }.output().await?;
        let signature = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.success() || !signature.starts_with("-----BEGIN SSH SIGNATURE-----") {
            let why = summary(&output.stderr);
            return Err(GitError::Signing(format!("repository.signing_key {}: {why}", key.display())));
        }
        self.0.extra_headers.push(("gpgsig".into(), signature.into()));
        Ok(())
    }

    /// Writes it.
    pub fn write(self, repo: &gix::Repository) -> Result<ObjectId, GitError> {
        Ok(repo.write_object(self.0).map_err(broken)?.detach())
    }
}

fn clean(message: &str) -> String {
    format!("{}\n", message.replace('\0', "").trim_end())
}

/// Whether a commit is one of ours with this message.
pub(crate) fn is_ours(repo: &gix::Repository, commit: ObjectId, message: &str) -> Result<bool, GitError> {
    let commit = repo.find_commit(commit).map_err(broken)?;
    let author = commit.author().map_err(broken)?;
    Ok(author.email == AUTHOR.1 && commit.message_raw().map_err(broken)? == clean(message).as_str())
}

/// Writes a commit with these files on top of `parent` (or a first one). `None` when it would change nothing.
pub fn build(
    repo: &gix::Repository,
    parent: Option<ObjectId>,
    files: &Files,
    message: &str,
    at: Time,
) -> Result<Option<ObjectId>, GitError> {
    let base = match parent {
        Some(parent) => repo.find_commit(parent).map_err(broken)?.tree_id().map_err(broken)?.detach(),
        None => ObjectId::empty_tree(repo.object_hash()),
    };
    let tree = tree_of(repo, base, files)?;
    if tree == base {
        return Ok(None);
    }
    Commit::new(tree, parent, message, at).write(repo).map(Some)
}

/// The text of a file at the root of a commit, when it is there and is text.
pub fn text(repo: &gix::Repository, commit: ObjectId, name: &str) -> Result<Option<String>, GitError> {
    let tree = repo.find_commit(commit).map_err(broken)?.tree().map_err(broken)?;
    let Some(entry) = tree.find_entry(name).filter(|entry| entry.mode().is_blob()) else { return Ok(None) };
    let data = entry.object().map_err(broken)?.detach().data;
    Ok(String::from_utf8(data).ok())
}

fn tree_of(repo: &gix::Repository, base: ObjectId, files: &Files) -> Result<ObjectId, GitError> {
    let mut editor = repo.edit_tree(base).map_err(broken)?;
    for name in OWNED {
        editor.remove(name).map_err(broken)?;
    }
    for (path, text) in files {
        let blob = repo.write_blob(text).map_err(broken)?;
        editor.upsert(path.as_str(), EntryKind::Blob, blob.detach()).map_err(broken)?;
    }
    Ok(editor.write().map_err(broken)?.detach())
}
