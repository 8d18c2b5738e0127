//! A revision as files on disk, for programs that need them: symbolic links as links, executable bits, and submodules at
//! the commits that the revision records.
//!
//! Each checkout has a `.git` of its own that borrows its objects from the mirror and names no remote, so that nothing in
//! it can carry credentials, run a hook, or change the mirror. A submodule's objects are kept in a mirror too
//! (`submodules/<digest of its address>.git` under the state directory); the network is needed only for a commit that is
//! not there yet. It is reached as the repository itself is (known hosts, key); credentials of the repository's address
//! go along only to the same server.

use std::fs;
use std::io;
use std::path::Path;

use gix::ObjectId;
use gix::objs::tree::EntryKind;

use super::command::Caller;
use super::error::GitError;
use super::mirror::{self, broken};
use super::remote::{CALL_LIMIT, CLONE_LIMIT, Git, aside};
use super::tree;
use super::watch::local_path;
use crate::drive::private;
use crate::model::{Digest, Fault, Reason, Revision};

/// Submodules of submodules are followed this deep.
const DEPTH: usize = 5;
const SUBMODULES: usize = 200;
const CONFIG: &str = "[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tsymlinks = true
\tlogAllRefUpdates = false
\thooksPath = /dev/null
[gc]
\tauto = 0
[maintenance]
\tauto = false
";

/// A submodule, as a commit records it.
struct Submodule {
    path: String,
    commit: ObjectId,
    /// As written in `.gitmodules`; `None`: not written.
    url: Option<String>,
}

impl Git {
    /// Puts a revision's files into `dir`, which must not exist yet, with all its submodules. When this fails the directory
    /// may hold a part of them.
    pub async fn checkout(&self, revision: &Revision, dir: &Path) -> Result<(), Fault> {
        let id = mirror::object_id(revision)?;
        let main = &self.0.caller;
        private::dir(dir).map_err(|error| unusable(dir, error))?;
        self.note(place(main, id, dir).await)?;
        let mut todo = vec![(main.clone(), id, dir.to_path_buf(), 0)];
        while let Some((parent, id, place, depth)) = todo.pop() {
            for module in self.note(submodules(&parent, id).await)? {
                let path = place.join(&module.path);
                let shown = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
                let deeper = depth + 1;
                let result =
                    if deeper > DEPTH { Err(too_deep()) } else { self.submodule(&parent, &module, &path).await };
                let caller = result.map_err(|error| {
                    let of =
                        module.url.as_deref().map(|url| format!(" ({})", crate::settings::without_credentials(url)));
                    let message = format!("submodule {shown}{}: {error}", of.unwrap_or_default());
                    Fault::transient(Reason::SubmoduleMissing, message)
                })?;
                todo.push((caller, module.commit, path, deeper));
            }
        }
        Ok(())
    }

    /// Puts one submodule in its place; gives how its mirror is called.
    async fn submodule(&self, parent: &Caller, module: &Submodule, path: &Path) -> Result<Caller, GitError> {
        let url = module.url.as_deref().ok_or_else(|| GitError::Unreachable("it is not in .gitmodules".into()))?;
        let url =
            resolve(&parent.remote, url).ok_or_else(|| GitError::Unreachable("its address leads nowhere".into()))?;
        let main = &self.0.caller;
        if local_path(&url).is_some() && local_path(&main.remote).is_none() {
            // Whoever may push must not be able to read repositories of this machine by that.
            return Err(GitError::Unreachable("it is a path on this machine, and the repository is not".into()));
        }
        let name = Digest::of([url.as_bytes()]).as_str().chars().take(16).collect::<String>();
        let home = main.config.parent().unwrap_or(Path::new("/")).join("submodules");
        fs::create_dir_all(&home).map_err(broken)?;
        let caller = parent.for_other(&url, home.join(format!("{name}.git")));
        self.have(&caller, module.commit).await?;
        if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            // Git has made a directory for it, unless something else of that revision is in the way.
            return Err(GitError::Unreachable("there is no directory for it".into()));
        }
        place(&caller, module.commit, path).await?;
        Ok(caller)
    }

    /// Makes sure that a submodule's mirror holds a commit. One submodule at a time.
    async fn have(&self, caller: &Caller, commit: ObjectId) -> Result<(), GitError> {
        let _turn = self.0.submodules.lock().await;
        mirror::prepare(&caller.mirror, &caller.config)?;
        let first = !has(caller, commit)?;
        if !first {
            return Ok(());
        }
        let options = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        let fetch = |what: String| {
            let args = options.into_iter().chain(["--no-recurse-submodules", "--", &caller.remote]);
            let args: Vec<String> = args.map(String::from).chain([what]).collect();
            async move { caller.run(args, CLONE_LIMIT).await }
        };
        // Not every server hands out a commit by its name; those that do not have it on a branch.
        let by_name = fetch(format!("+{commit}:{}{commit}", mirror::LOADED)).await;
        if by_name.is_err() {
            mirror::remove_locks(&caller.mirror).map_err(broken)?;
            fetch("+refs/heads/*:refs/heads/*".into()).await?;
        }
        if !has(caller, commit)? {
            return Err(GitError::RevisionMissing(format!("{commit} (has it been pushed?)")));
        }
        mirror::set(&mirror::open(&caller.mirror)?, &format!("{}{commit}", mirror::LOADED), commit)
    }
}

fn has(caller: &Caller, commit: ObjectId) -> Result<bool, GitError> {
    Ok(mirror::open(&caller.mirror)?.find_commit(commit).is_ok_and(|commit| commit.tree().is_ok()))
}

fn too_deep() -> GitError {
    GitError::Unreachable(format!("submodules are followed {DEPTH} deep only"))
}

fn unusable(dir: &Path, error: io::Error) -> Fault {
    Fault::transient(Reason::CheckoutFailed, format!("{}: {error}", dir.display()))
}

/// Writes the files of a commit into a directory that is empty.
async fn place(from: &Caller, commit: ObjectId, dir: &Path) -> Result<(), GitError> {
    let git_dir = dir.join(".git");
    let make = || -> io::Result<()> {
        for part in ["objects/info", "refs/heads"] {
            private::dir(&git_dir.join(part))?;
        }
        let mut objects = from.mirror.join("objects").into_os_string().into_encoded_bytes();
        objects.push(b'\n');
        fs::write(git_dir.join("objects/info/alternates"), objects)?;
        fs::write(git_dir.join("config"), CONFIG)?;
        fs::write(git_dir.join("HEAD"), format!("{commit}\n"))
    };
    make().map_err(broken)?;
    let caller = from.for_other(&from.remote, git_dir);
    let mut tree = std::ffi::OsString::from("--work-tree=");
    tree.push(dir);
    let args = [tree, "read-tree".into(), "--reset".into(), "-u".into(), "HEAD".into()];
    caller.run(args, CLONE_LIMIT).await.map(|_| ())
}

async fn submodules(caller: &Caller, commit: ObjectId) -> Result<Vec<Submodule>, GitError> {
    let mirror = caller.mirror.clone();
    let links = aside(move || gitlinks(&mirror::open(&mirror)?, commit)).await?;
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let blob = format!("--blob={commit}:.gitmodules");
    let listed = caller.try_run(["config", blob.as_str(), "--null", "--list"], CALL_LIMIT).await?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let lines = || text.split('\0').filter_map(|entry| entry.split_once('\n'));
    let url_of = |path: &str| {
        let section =
            lines().find_map(|(key, value)| Some((key.strip_suffix(".path")?, value)).filter(|it| it.1 == path));
        let wanted = format!("{}.url", section?.0);
        lines().rfind(|(key, _)| *key == wanted).map(|(_, url)| url.to_owned())
    };
    Ok(links.into_iter().map(|(path, commit)| Submodule { url: url_of(&path), path, commit }).collect())
}

/// Paths and commits of the submodules that a commit's tree holds.
fn gitlinks(repo: &gix::Repository, commit: ObjectId) -> Result<Vec<(String, ObjectId)>, GitError> {
    let root = repo.find_object(commit).map_err(broken)?.peel_to_tree().map_err(broken)?;
    let too_large = |limit: String| GitError::TooLarge { revision: commit.to_hex_with_len(10).to_string(), limit };
    let (mut dirs, mut links, mut count) = (vec![(String::new(), root.id)], Vec::new(), 0);
    while let Some((prefix, id)) = dirs.pop() {
        for entry in repo.find_tree(id).map_err(broken)?.iter() {
            let entry = entry.map_err(broken)?;
            count += 1;
            if count > tree::ENTRY_LIMIT {
                return Err(too_large(format!("{} files", tree::ENTRY_LIMIT)));
            }
            let path = || format!("{prefix}{}", entry.filename());
            match entry.mode().kind() {
                EntryKind::Tree => dirs.push((format!("{}/", path()), entry.object_id())),
                EntryKind::Commit => links.push((path(), entry.object_id())),
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {}
            }
        }
    }
    if links.len() > SUBMODULES {
        return Err(too_large(format!("{SUBMODULES} submodules")));
    }
    links.sort();
    Ok(links)
}

/// A submodule's address: one that begins with `./` or `../` is relative to that of the repository it is in
/// (gitmodules(5)).
fn resolve(base: &str, url: &str) -> Option<String> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return Some(url.to_owned()).filter(|url| !url.is_empty() && !url.starts_with('-'));
    }
    let (mut base, mut rest) = (base.trim_end_matches('/').to_owned(), url);
    let least = base.find("://").map_or(0, |at| at + 3);
    loop {
        if let Some(more) = rest.strip_prefix("../") {
            let end = base[least..].rfind('/').or_else(|| base[least..].rfind(':').filter(|_| least == 0));
            let end = least + end?;
            // `host:path` keeps its colon.
            base.truncate(if base.as_bytes()[end] == b':' { end + 1 } else { end });
            rest = more;
        } else if let Some(more) = rest.strip_prefix("./") {
            rest = more;
        } else {
            break;
        }
    }
    let join = if base.ends_with(':') { "" } else { "/" };
    Some(format!("{base}{join}{}", rest.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_addresses_are_those_of_neighbours() {
        let cases = [
            ("https://forge.example.net/site/racks.git", "../roles.git", "https://forge.example.net/site/roles.git"),
            ("https://forge.example.net/site/racks.git/", "../../other/x", "https://forge.example.net/other/x"),
            ("git@forge.example.net:racks.git", "../roles.git", "git@forge.example.net:roles.git"),
            ("git@forge.example.net:site/racks.git", "../roles.git", "git@forge.example.net:site/roles.git"),
            (
                "ssh://git@forge.example.net:2222/site/racks",
                "./inner",
                "ssh://git@forge.example.net:2222/site/racks/inner",
            ),
            ("/srv/git/racks.git", "../roles.git", "/srv/git/roles.git"),
            ("/srv/git/racks.git", "https://else.example.net/x", "https://else.example.net/x"),
        ];
        for (base, url, expected) in cases {
            assert_eq!(resolve(base, url).as_deref(), Some(expected), "{base} {url}");
        }
        assert_eq!(resolve("https://forge.example.net/x", "../../../y"), None);
        assert_eq!(resolve("https://forge.example.net:8443/x", "../../y"), None, "a port is no path");
        assert_eq!(resolve("/srv/x", "--upload-pack=x"), None);
    }
}
