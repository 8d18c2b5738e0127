//! Reading the files of a revision from Git objects, without a checkout.

use std::sync::Arc;

use gix::ObjectId;
use gix::objs::tree::EntryKind;

use super::error::GitError;
use super::mirror::broken;
use crate::model::Finding;
use crate::plan::report::Files;
use crate::repo::{Entry, Tree};

/// Largest file that is read, in bytes.
pub(crate) const FILE_LIMIT: u64 = 4 << 20;
/// Largest sum of all files that are read, in bytes.
pub(crate) const TREE_LIMIT: u64 = 64 << 20;
/// How many entries are read; Git lets one small object stand for any number of them.
pub(crate) const ENTRY_LIMIT: usize = 200_000;

/// The files of a revision, and what was left out of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Path -> entry.
    pub tree: Tree,
    /// One warning for each file that was not read: too large, or a name that is not UTF-8.
    pub warnings: Vec<Finding>,
}

/// Reads the files of a commit (or of any object that leads to a tree).
pub fn read(repo: &gix::Repository, id: ObjectId) -> Result<Snapshot, GitError> {
    if !repo.has_object(id) {
        return Err(GitError::RevisionMissing(id.to_string()));
    }
    let mut snapshot = Snapshot::default();
    let root = repo.find_object(id).map_err(broken)?.peel_to_tree().map_err(broken)?;
    let too_large = |limit: String| GitError::TooLarge { revision: id.to_hex_with_len(10).to_string(), limit };
    let (mut dirs, mut count, mut total) = (vec![(String::new(), root.id)], 0, 0);
    while let Some((prefix, id)) = dirs.pop() {
        let dir = repo.find_tree(id).map_err(broken)?;
        for entry in dir.iter() {
            let entry = entry.map_err(broken)?;
            count += 1;
            if count > ENTRY_LIMIT {
                return Err(too_large(format!("{ENTRY_LIMIT} files")));
            }
            let Ok(name) = std::str::from_utf8(entry.filename()) else {
                let path = format!("{prefix}{}", entry.filename());
                snapshot.warnings.push(left_out(&path, "path-not-utf8", "its name is not UTF-8"));
                continue;
            };
            let path = format!("{prefix}{name}");
            let id = entry.object_id();
            match entry.mode().kind() {
                EntryKind::Tree => dirs.push((format!("{path}/"), id)),
                EntryKind::Commit => {
                    snapshot.tree.insert(path, Entry::Submodule);
                }
                kind @ (EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link) => {
                    let size = repo.find_header(id).map_err(broken)?.size();
                    if size > FILE_LIMIT {
                        let why = format!("it has {size} bytes, more than {FILE_LIMIT}");
                        snapshot.warnings.push(left_out(&path, "file-too-large", &why));
                        continue;
                    }
                    total += size;
                    if total > TREE_LIMIT {
                        return Err(too_large(format!("{} MiB of files", TREE_LIMIT >> 20)));
                    }
                    let data = repo.find_blob(id).map_err(broken)?.take_data();
                    let entry = match kind {
                        EntryKind::Link => Entry::Link(String::from_utf8_lossy(&data).into_owned()),
                        _ => Entry::File(Arc::from(data)),
                    };
                    snapshot.tree.insert(path, entry);
                }
            }
        }
    }
    Ok(snapshot)
}

fn left_out(path: &str, code: &str, why: &str) -> Finding {
    Finding::warning(path, (0, 0), code, format!("this file is not read: {why}"))
}

/// The text files of a snapshot, for reading a status branch.
pub fn texts(snapshot: Snapshot) -> Files {
    let text = |(path, entry)| match entry {
        Entry::File(data) => Some((path, String::from_utf8(data.to_vec()).ok()?)),
        Entry::Link(_) | Entry::Submodule => None,
    };
    snapshot.tree.into_iter().filter_map(text).collect()
}
