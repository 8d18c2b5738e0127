//! The bare mirror under the state directory: made, checked, repaired, and its refs. The network is not touched here.
//!
//! | ref | what it holds |
//! |---|---|
//! | `refs/rackwright/watched` | the watched branch's head, as last fetched |
//! | `refs/rackwright/status-remote` | the status branch's head at the remote, as last seen |
//! | `refs/rackwright/loaded/<commit>` | every revision that came into force and may be replayed |

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use gix::ObjectId;
use gix::refs::transaction::{PreviousValue, RefEdit};

use super::error::GitError;
use crate::model::Revision;

/// The watched branch's head.
pub(crate) const WATCHED: &str = "refs/rackwright/watched";
/// The status branch's head at the remote.
pub const STATUS: &str = "refs/rackwright/status-remote";
/// Revisions that may be replayed.
pub(crate) const LOADED: &str = "refs/rackwright/loaded/";

/// Nothing of ours may start by itself behind our back, and what was fetched must survive a power cut.
const CONFIG: &str = "[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = false
\tfsync = all
[fetch]
\tunpackLimit = 1
[gc]
\tauto = 2000
\tautoDetach = false
[maintenance]
\tauto = false
[http]
\tlowSpeedLimit = 100
\tlowSpeedTime = 30
";

/// Stands for the user's configuration: path remotes may belong to somebody else.
const USER_CONFIG: &str = "[safe]\n\tdirectory = *\n";

/// Any error of reading or writing the mirror.
pub fn broken(error: impl std::fmt::Display) -> GitError {
    GitError::Mirror(error.to_string())
}

/// Makes the mirror, or repairs it: left-over locks go, and a mirror that cannot be read is moved aside to
/// `<mirror>.broken` (the one before is deleted) and started anew.
pub fn prepare(mirror: &Path, config: &Path) -> Result<(), GitError> {
    if let Some(dir) = mirror.parent() {
        fs::create_dir_all(dir).map_err(broken)?;
    }
    write(config, USER_CONFIG).map_err(broken)?;
    if mirror.exists() {
        remove_locks(mirror).map_err(broken)?;
        match check(mirror) {
            Ok(()) => return write(&mirror.join("config"), CONFIG).map_err(broken),
            Err(error) => {
                tracing::warn!("the mirror {} cannot be read ({error}); it is made anew", mirror.display());
                move_aside(mirror).map_err(broken)?;
            }
        }
    }
    create(mirror).map_err(broken)
}

fn create(mirror: &Path) -> io::Result<()> {
    for dir in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        fs::create_dir_all(mirror.join(dir))?;
    }
    write(&mirror.join("config"), CONFIG)?;
    write(&mirror.join("HEAD"), "ref: refs/heads/main\n")
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whether every ref of ours can be read down to its tree.
fn check(mirror: &Path) -> Result<(), GitError> {
    let repo = open(mirror)?;
    for reference in repo.references().map_err(broken)?.all().map_err(broken)? {
        let mut reference = reference.map_err(broken)?;
        let commit = reference.peel_to_commit().map_err(broken)?;
        commit.tree().map_err(broken)?;
    }
    Ok(())
}

/// Moves a mirror that cannot be used out of the way.
pub(crate) fn move_aside(mirror: &Path) -> io::Result<()> {
    let aside = mirror.with_extension("git.broken");
    let removed = if aside.is_dir() { fs::remove_dir_all(&aside) } else { fs::remove_file(&aside) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(mirror, aside)
}

/// Removes locks that a killed git left behind. Nobody else works on the mirror.
pub(crate) fn remove_locks(mirror: &Path) -> io::Result<()> {
    let lock = |path: &Path| path.extension().is_some_and(|extension| extension == "lock");
    let mut dirs = vec![mirror.join("refs")];
    for entry in fs::read_dir(mirror)? {
        let path = entry?.path();
        if path.is_file() && lock(&path) {
            fs::remove_file(path)?;
        }
    }
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if lock(&path) {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

/// Opens the mirror without anybody's configuration or environment.
pub fn open(mirror: &Path) -> Result<gix::Repository, GitError> {
    gix::open_opts(mirror, gix::open::Options::isolated()).map_err(broken)
}

/// What a ref points to, when it exists.
pub fn head(repo: &gix::Repository, name: &str) -> Result<Option<ObjectId>, GitError> {
    let reference = repo.try_find_reference(name).map_err(broken)?;
    reference.map(|found| found.into_fully_peeled_id().map(gix::Id::detach).map_err(broken)).transpose()
}

/// Points a ref somewhere.
pub fn set(repo: &gix::Repository, name: &str, id: ObjectId) -> Result<(), GitError> {
    let name = name.try_into().map_err(broken)?;
    repo.edit_references_as([RefEdit::update(name, id, PreviousValue::Any, "")], None).map_err(broken)?;
    Ok(())
}

/// Removes a ref; one that is not there is fine.
pub fn unset(repo: &gix::Repository, name: &str) -> Result<(), GitError> {
    if repo.try_find_reference(name).map_err(broken)?.is_some() {
        let name = name.try_into().map_err(broken)?;
        repo.edit_references_as([RefEdit::delete(name, PreviousValue::Any)], None).map_err(broken)?;
    }
    Ok(())
}

/// Makes a ref of ours survive a power cut.
pub fn sync(mirror: &Path, name: &str) -> Result<(), GitError> {
    let path = mirror.join(name);
    for path in path.parent().into_iter().chain([path.as_path()]) {
        fs::File::open(path).and_then(|file| file.sync_all()).map_err(broken)?;
    }
    Ok(())
}

pub(crate) fn object_id(revision: &Revision) -> Result<ObjectId, GitError> {
    ObjectId::from_hex(revision.as_str().as_bytes()).map_err(|_| broken(format!("`{revision}` is not a commit id")))
}

/// The revisions that may be replayed.
pub fn loaded(repo: &gix::Repository) -> Result<Vec<Revision>, GitError> {
    let mut list = Vec::new();
    for reference in repo.references().map_err(broken)?.all().map_err(broken)? {
        let name = reference.map_err(broken)?.name().as_bstr().to_string();
        list.extend(name.strip_prefix(LOADED).map(Revision::new));
    }
    Ok(list)
}

/// The revision that a commit is.
pub fn revision(id: ObjectId) -> Revision {
    Revision::new(id.to_string())
}
