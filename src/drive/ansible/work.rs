//! A run's private directory under the state directory: `work/<mark>/`, 0700, deleted afterwards; and what a run that was
//! cut off had made is brought out of it first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::collect::Baseline;
use crate::drive::{generated, private};
use crate::model::{ClusterName, TaskId};

/// Longest directory for sockets. A socket's path has at most 107 bytes (unix(7)); `ssh` puts a name of 10, and while it
/// makes it one of 17 more, behind it.
const SHORT: usize = 70;
/// Copies of what failed runs made that are kept.
const KEPT: usize = 5;
/// What is known of the repository's files before the run.
const BASELINE: &str = "baseline.json";

/// The directory.
pub struct Work {
    dir: PathBuf,
    sockets: PathBuf,
    /// Outside of it when the state directory's path is too long for sockets.
    elsewhere: Option<tempfile::TempDir>,
}

impl Work {
    /// Makes it, by the run's mark: what holds a socket in it is found by that.
    pub fn new(state_dir: &Path, mark: &str) -> io::Result<Work> {
        let dir = state_dir.join("work").join(mark);
        let mut work = Work { sockets: dir.join("c"), dir, elsewhere: None };
        if work.sockets.as_os_str().len() > SHORT {
            let other = tempfile::Builder::new().prefix("rackwright-").tempdir()?;
            work.sockets = other.path().join(mark).join("c");
            work.elsewhere = Some(other);
        }
        for dir in [&work.dir, &work.dir.join("tmp"), &work.dir.join("plugins"), &work.sockets] {
            private::dir(dir)?;
        }
        Ok(work)
    }

    /// The repository's files.
    pub fn checkout(&self) -> PathBuf {
        self.path("repository")
    }

    /// Where `ssh` keeps the sockets of shared connections.
    pub fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// A path inside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file for us alone.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        private::write(&path, text.as_bytes(), 0o600)?;
        Ok(path)
    }

    /// Notes what the repository's files are before the run, so that what it makes can be told from them by whoever finds
    /// this directory.
    pub fn note(&self, baseline: &Baseline) -> io::Result<()> {
        self.write(BASELINE, &serde_json::to_string(baseline)?).map(|_| ())
    }

    /// What the run has made is safe elsewhere: nothing is to be brought out any more.
    pub(crate) fn safe(&self) {
        // The worst that can come of this is a second copy.
        let _ = fs::remove_file(self.path(BASELINE));
    }

    /// Brings out now what the run has made; gives where it is.
    pub fn rescue(&self) -> io::Result<Option<PathBuf>> {
        let place = rescue(&self.dir)?;
        self.safe();
        Ok(place)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What could not be brought out stays for the next start, which tries again.
        if let Err(error) = rescue(&self.dir).and_then(|_| fs::remove_dir_all(&self.dir)) {
            tracing::warn!("{} is left: {error}", self.dir.display());
        }
    }
}

/// Brings out what a run made that did not come to a good end: into `generated/<cluster>/<digest>` in its task's
/// directory.
fn rescue(dir: &Path) -> io::Result<Option<PathBuf>> {
    let Ok(text) = fs::read_to_string(dir.join(BASELINE)) else { return Ok(None) };
    let baseline: Baseline = serde_json::from_str(&text)?;
    let made = baseline.changes(&dir.join("repository"))?;
    if made.files.is_empty() {
        return Ok(None);
    }
    let home = task_dir(dir, &baseline);
    let id = generated::keep(&home, &baseline.cluster, &made.files)?;
    let place = generated::dir(&home, &baseline.cluster, &id);
    tracing::warn!("files of a run that did not end well are kept, and not committed: {}", place.display());
    rotate(place.parent().unwrap_or(&place))?;
    Ok(Some(place))
}

/// Where that is.
fn task_dir(work: &Path, baseline: &Baseline) -> PathBuf {
    let state_dir = work.ancestors().nth(2).unwrap_or(Path::new("/"));
    crate::drive::task::dir(state_dir, &baseline.cluster, &TaskId::new("ansible"))
}

fn rotate(dir: &Path) -> io::Result<()> {
    let mut copies: Vec<_> = fs::read_dir(dir)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    copies.sort();
    let old = copies.len().saturating_sub(KEPT);
    copies[..old].iter().try_for_each(|(_, path)| fs::remove_dir_all(path))
}

/// Deletes what runs of a killed daemon left, after what they made has been brought out. To be called before a new run can
/// begin.
pub fn sweep(state_dir: &Path) {
    for entry in fs::read_dir(state_dir.join("work")).into_iter().flatten().flatten() {
        let dir = entry.path();
        if let Err(error) = rescue(&dir).and_then(|_| fs::remove_dir_all(&dir)) {
            tracing::warn!("{} is left: {error}", dir.display());
        }
    }
}

/// The names of the directories that a playbook writes to: as the repository says, and by the cluster's name.
pub fn written(cluster: &ClusterName, generated: &str) -> Vec<String> {
    let mut dirs = vec![generated.trim_matches('/').to_owned(), format!("files/{cluster}")];
    dirs.sort();
    dirs.dedup();
    dirs
}
