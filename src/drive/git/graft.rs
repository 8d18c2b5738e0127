//! Putting files into the tree of a commit, path by path, without overwriting what somebody else did there.
//!
//! Links in the tree are followed as a file system would, as long as they stay inside the repository: a playbook wrote
//! through them as well, in its checkout.

use std::collections::VecDeque;

use gix::ObjectId;
use gix::objs::tree::{EntryKind, EntryMode};

use super::error::GitError;
use super::mirror::broken;
use super::seal::Seal;
use crate::drive::generated::{File, Files};
use crate::model::some;

/// Links that are followed for one path, as many as Linux follows (path_resolution(7)).
const LINKS: usize = 40;
/// Paths that a message names.
const NAMED: usize = 5;

/// What stands at a path.
type Found = Option<(EntryMode, ObjectId)>;

/// A tree that files are put into.
pub(crate) struct Graft<'r> {
    /// Where objects are read and written.
    pub repo: &'r gix::Repository,
    /// The tree.
    pub onto: ObjectId,
    /// The tree that the files were made from, when it is known.
    pub base: Option<ObjectId>,
    /// How files are encrypted, if they are.
    pub seal: Option<&'r Seal>,
}

impl Graft<'_> {
    /// The tree with the files in it; `None` when it holds them already.
    pub fn put(&self, files: &Files) -> Result<Option<ObjectId>, GitError> {
        let mut editor = self.repo.edit_tree(self.onto).map_err(broken)?;
        let (mut conflicts, mut changed) = (Vec::new(), false);
        for (path, file) in files {
            let (place, theirs) = self.resolve(path)?;
            if self.is_same(file, theirs)? {
                continue;
            }
            if theirs != self.before(&place)? {
                conflicts.push(format!("`{place}`"));
                continue;
            }
            let sealed = self.seal.map(|seal| seal.encrypt(&file.data)).transpose()?;
            let data = sealed.as_deref().unwrap_or(&file.data);
            let blob = self.repo.write_blob(data).map_err(broken)?.detach();
            editor.upsert(place.as_str(), kind(file), blob).map_err(broken)?;
            changed = true;
        }
        match conflicts.is_empty() {
            false => Err(GitError::Conflict(some(&conflicts, NAMED))),
            true if !changed => Ok(None),
            true => Ok(Some(editor.write().map_err(broken)?.detach())),
        }
    }

    /// Whether the tree holds all of the files, just so.
    pub fn holds(&self, files: &Files) -> Result<bool, GitError> {
        for (path, file) in files {
            if !self.is_same(file, self.resolve(path)?.1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_same(&self, file: &File, there: Found) -> Result<bool, GitError> {
        let Some((mode, id)) = there.filter(|(mode, _)| mode.kind() == kind(file)) else { return Ok(false) };
        if self.repo.find_header(id).map_err(broken)?.size() > crate::drive::generated::TOTAL_LIMIT {
            return Ok(false);
        }
        let data = self.repo.find_blob(id).map_err(broken)?.take_data();
        debug_assert!(mode.is_blob());
        // The same text is encrypted to other bytes each time.
        Ok(match self.seal {
            Some(seal) => seal.is_sealed(&data, &file.data),
            None => data == *file.data,
        })
    }

    /// What stood at a place when the files were made.
    fn before(&self, place: &str) -> Result<Found, GitError> {
        let Some(base) = self.base else { return Ok(None) };
        let tree = self.repo.find_tree(base).map_err(broken)?;
        let entry = tree.lookup_entry_by_path(place).map_err(broken)?;
        Ok(entry.map(|entry| (entry.mode(), entry.object_id())))
    }

    /// Where a path leads to when links are followed, and what stands there.
    fn resolve(&self, path: &str) -> Result<(String, Found), GitError> {
        let mut todo: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut way: Vec<Step> = Vec::new();
        let (mut links, mut found) = (0, None);
        let blocked = |why: String| GitError::Blocked(format!("`{path}` cannot be written: {why}"));
        while let Some(part) = todo.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." if way.pop().is_none() => return Err(blocked("a link leads out of the repository".into())),
                ".." => {
                    found = way.last().and_then(|(_, tree)| Some((EntryKind::Tree.into(), (*tree)?)));
                    continue;
                }
                _ => {}
            }
            let tree = way.last().map_or(Some(self.onto), |(_, tree)| *tree);
            found = tree.map(|tree| self.entry(tree, &part)).transpose()?.flatten();
            match found.map(|(mode, id)| (mode.kind(), id)) {
                None => way.push((part, None)),
                Some((EntryKind::Tree, id)) => way.push((part, Some(id))),
                Some((EntryKind::Commit, _)) => {
                    return Err(blocked(format!("`{}` is a submodule; commit it there", join(&way, &part))));
                }
                Some((EntryKind::Link, id)) => {
                    let data = self.repo.find_blob(id).map_err(broken)?.take_data();
                    let target = String::from_utf8_lossy(&data).into_owned();
                    links += 1;
                    if links > LINKS || target.starts_with('/') {
                        let why =
                            format!("the link `{}` leads out of the repository, to `{target}`", join(&way, &part));
                        return Err(blocked(why));
                    }
                    target.rsplit('/').for_each(|part| todo.push_front(part.to_owned()));
                }
                Some((EntryKind::Blob | EntryKind::BlobExecutable, _)) if !todo.is_empty() => {
                    return Err(blocked(format!("`{}` is a file", join(&way, &part))));
                }
                Some((EntryKind::Blob | EntryKind::BlobExecutable, _)) => way.push((part, None)),
            }
        }
        let place = join(&way, "");
        match found {
            _ if place.is_empty() => Err(blocked("it leads to the repository itself".into())),
            Some((mode, _)) if !mode.is_blob() => Err(blocked(format!("`{place}` is a directory"))),
            found => Ok((place, found)),
        }
    }

    fn entry(&self, tree: ObjectId, name: &str) -> Result<Found, GitError> {
        let tree = self.repo.find_tree(tree).map_err(broken)?;
        Ok(tree.find_entry(name).map(|entry| (entry.mode(), entry.object_id())))
    }
}

/// A directory that was entered: its name, and its tree when it exists.
type Step = (String, Option<ObjectId>);

fn join(way: &[Step], last: &str) -> String {
    let names = way.iter().map(|(name, _)| name.as_str()).chain([last]);
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/")
}

fn kind(file: &File) -> EntryKind {
    if file.executable { EntryKind::BlobExecutable } else { EntryKind::Blob }
}
