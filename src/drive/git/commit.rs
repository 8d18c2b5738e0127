//! Building a status commit from the report's files. Only objects that are new get written.

use gix::ObjectId;
use gix::actor::SignatureRef;
use gix::objs::tree::EntryKind;

use super::error::GitError;
use super::mirror::broken;
use crate::model::Time;
use crate::plan::report::Files;

/// Who commits.
pub const AUTHOR: (&str, &str) = ("rackwright", "rackwright@localhost");

/// Entries at the root of the status branch that are ours to write and to remove; others are left as they are.
pub const OWNED: [&str; 6] = ["README.md", "rack.yaml", "rejected.yaml", "clusters", "hosts", "boot"];

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
    let time = format!("{} +0000", at.0.div_euclid(1000).max(0));
    let who = SignatureRef { name: AUTHOR.0.into(), email: AUTHOR.1.into(), time: &time };
    let message = format!("{}\n", message.replace('\0', "").trim_end());
    let commit = repo.new_commit_as(who, who, message, tree, parent).map_err(broken)?;
    Ok(Some(commit.id))
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
