//! Noticing a push to a repository on this machine at once. Polling stays as a net: a watch can go dead silently (its
//! directory was replaced), so this is a hint and nothing more.

use std::fs;
use std::path::{Path, PathBuf};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Tells when the refs of a repository on this machine may have changed.
pub struct Watcher {
    changes: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Watcher {
    /// Waits until there may be news. News that arrives between two calls is not lost; several pieces become one.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // The system's watcher is gone; polling goes on.
            std::future::pending::<()>().await;
        }
    }
}

/// Watches the branch of the repository at `url`, when that is a path on this machine that can be watched.
pub fn watch(url: &str, branch: &str) -> Option<Watcher> {
    let git_dir = git_dir(&local_path(url)?)?;
    let (sender, changes) = mpsc::channel(1);
    let wanted = git_dir.join("refs/heads").join(branch);
    let refs = git_dir.join("refs");
    let (packed, reftable) = (git_dir.join("packed-refs"), git_dir.join("reftable"));
    let handler = move |event: notify::Result<Event>| {
        let news = match &event {
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => false,
            Ok(event) if event.need_rescan() || event.paths.is_empty() => true,
            Ok(event) => event.paths.iter().any(|path| {
                path == &wanted || path == &packed || path.starts_with(&reftable)
                    // a directory on the way to the branch
                    || (path.starts_with(&refs) && wanted.starts_with(path))
            }),
            Err(_) => true,
        };
        if news {
            // Full means that news is already waiting to be noticed.
            let _ = sender.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(handler).ok()?;
    watcher.watch(&git_dir, RecursiveMode::NonRecursive).ok()?;
    watcher.watch(&git_dir.join("refs"), RecursiveMode::Recursive).ok()?;
    if git_dir.join("reftable").is_dir() {
        watcher.watch(&git_dir.join("reftable"), RecursiveMode::NonRecursive).ok()?;
    }
    Some(Watcher { changes, _watcher: watcher })
}

/// The path of a remote on this machine: `file://…` or a path, not `host:path`.
pub(crate) fn local_path(url: &str) -> Option<PathBuf> {
    if let Some(path) = url.strip_prefix("file://") {
        return path.starts_with('/').then(|| path.into());
    }
    let scp = url.split_once(':').is_some_and(|(host, _)| !host.contains('/'));
    (!scp && !url.contains("://")).then(|| url.into())
}

/// Where the refs of the repository at `path` are: itself when bare, `.git` in it, or where a `.git` file points.
fn git_dir(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let dot_git = path.join(".git");
    if dot_git.is_file() {
        let text = fs::read_to_string(&dot_git).ok()?;
        let target = fs::canonicalize(path.join(text.strip_prefix("gitdir:")?.trim())).ok()?;
        return Some(match fs::read_to_string(target.join("commondir")) {
            Ok(common) => fs::canonicalize(target.join(common.trim())).ok()?,
            Err(_) => target,
        });
    }
    [dot_git, path].into_iter().find(|dir| dir.join("refs").is_dir() && dir.join("objects").is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_are_local() {
        assert_eq!(local_path("file:///srv/a.git"), Some("/srv/a.git".into()));
        assert_eq!(local_path("/srv/a:b"), Some("/srv/a:b".into()));
        for remote in ["ssh://x/y", "git@forge.example.net:x", "https://forge.example.net/x", "file://host/x"] {
            assert_eq!(local_path(remote), None, "{remote}");
        }
    }
}
