//! The repository and its remote: the mirror is brought up to date, read, and kept whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use gix::ObjectId;
use tokio::sync::{Mutex, MutexGuard};

use super::command::Caller;
use super::error::{self, GitError};
use super::mirror::{self, revision};
use super::tree::{self, Snapshot};
use super::watch::{self, Watcher};
use crate::model::{Fault, Finding, Revision};
use crate::plan::report::Files;
use crate::repo::Tree;
use crate::settings::{Repository, Settings};

pub(super) const CALL_LIMIT: Duration = Duration::from_secs(60);
/// How long the first fetch into an empty mirror may take.
pub(super) const CLONE_LIMIT: Duration = Duration::from_secs(240);
/// Every how many fetches the mirror is tidied up.
const TIDY_EVERY: u32 = 200;

/// The repository. Cheap to clone; clones share the mirror and take turns on it.
#[derive(Clone)]
pub struct Git(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) caller: Caller,
    pub(super) url: String,
    pub(super) branch: String,
    pub(super) status_branch: String,
    pub(super) allowed_signers: Option<PathBuf>,
    pub(super) signing_key: Option<PathBuf>,
    /// One call to the remote at a time.
    pub(super) turn: Mutex<()>,
    /// One submodule is fetched at a time.
    pub(super) submodules: Mutex<()>,
    /// Whether `mirror::STATUS` is the status branch's head at the remote, as far as we know.
    pub(super) status_known: AtomicBool,
    /// The mirror may be damaged; the next turn finds out.
    pub(super) damaged: AtomicBool,
    pub(super) fetches: AtomicU32,
}

/// A branch's head at the remote.
pub(super) type Head = Option<ObjectId>;

impl Git {
    /// Opens the mirror under the state directory; makes or repairs it where needed. The remote is not called.
    pub fn open(settings: &Settings) -> Result<Git, Fault> {
        Git::at(&settings.repository, &settings.state_dir)
    }

    /// Likewise, for any repository and directory.
    pub fn at(repository: &Repository, dir: &Path) -> Result<Git, Fault> {
        let caller = Caller::new(repository, dir.join("mirror.git"), dir.join("mirror.gitconfig"));
        mirror::prepare(&caller.mirror, &caller.config)?;
        Ok(Git(Arc::new(Inner {
            caller,
            url: repository.url.clone(),
            branch: repository.branch.clone(),
            status_branch: repository.status_branch.clone(),
            allowed_signers: repository.allowed_signers.clone(),
            signing_key: repository.signing_key.clone(),
            turn: Mutex::new(()),
            submodules: Mutex::new(()),
            status_known: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            fetches: AtomicU32::new(0),
        })))
    }

    /// Uses another `git` program than the first in `PATH`. For a handle that has not been cloned yet.
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Git {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.caller.program = program.into();
        }
        self
    }

    /// Fetches the watched branch (and what the status branch is at the remote) and gives the watched head.
    pub async fn fetch(&self) -> Result<Revision, Fault> {
        let _turn = self.turn().await?;
        let heads = self.note(self.sync().await)?;
        if self.0.fetches.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            // Best effort: a mirror that stays untidy is only slower.
            let _ = self.0.caller.run(["gc", "--auto", "--quiet"], CALL_LIMIT).await;
        }
        let head = heads.0.ok_or_else(|| GitError::BranchMissing(self.0.branch.clone()))?;
        Ok(revision(head))
    }

    /// Checks a revision's signature when `allowed_signers` is set: a finding with code `bad-signature` when it is not
    /// one of theirs. Only SSH signatures count.
    pub async fn verify(&self, revision: &Revision) -> Result<Option<Finding>, Fault> {
        let Some(why) = self.verified(revision).await? else { return Ok(None) };
        let message = format!("commit {} is not signed by one of the allowed signers: {why}", revision.short());
        let hint = "sign the commit with an SSH key listed in repository.allowed_signers";
        Ok(Some(Finding::error("", (0, 0), "bad-signature", message).hint(hint)))
    }

    /// Why a revision's signature is not one of the allowed signers'; `None` when it is, or when anybody may sign.
    pub(super) async fn verified(&self, revision: &Revision) -> Result<Option<String>, GitError> {
        let Some(signers) = &self.0.allowed_signers else { return Ok(None) };
        mirror::object_id(revision)?;
        let mut file = std::ffi::OsString::from("gpg.ssh.allowedSignersFile=");
        file.push(signers);
        let mut args: Vec<std::ffi::OsString> = vec!["-c".into(), file];
        // Other kinds of signature are judged by key rings that the settings do not speak of.
        for other in ["gpg.program=false", "gpg.openpgp.program=false", "gpg.x509.program=false"] {
            args.extend(["-c".into(), other.into()]);
        }
        args.extend(["-c", "gpg.minTrustLevel=fully", "verify-commit", revision.as_str()].map(Into::into));
        let output = self.0.caller.try_run(args, CALL_LIMIT).await?;
        if output.success() {
            return Ok(None);
        }
        Ok(Some(match output.stderr.trim() {
            "" => "it is not signed".to_string(),
            said => error::summary(said),
        }))
    }

    /// The files of a revision in the mirror, without a checkout.
    pub fn tree(&self, revision: &Revision) -> Result<Tree, Fault> {
        self.snapshot(revision).map(|snapshot| snapshot.tree)
    }

    /// Likewise, with a warning for each file that was left out.
    pub fn snapshot(&self, revision: &Revision) -> Result<Snapshot, Fault> {
        let id = mirror::object_id(revision)?;
        let read = || tree::read(&mirror::open(&self.0.caller.mirror)?, id);
        Ok(self.note(read())?)
    }

    /// Keeps a revision that came into force, whatever happens to its branch, so that a replay can read it. Durable.
    pub fn keep(&self, revision: &Revision) -> Result<(), Fault> {
        let name = format!("{}{revision}", mirror::LOADED);
        let repo = mirror::open(&self.0.caller.mirror)?;
        mirror::set(&repo, &name, mirror::object_id(revision)?)?;
        mirror::sync(&self.0.caller.mirror, &name)?;
        Ok(())
    }

    /// Forgets every kept revision but these.
    pub fn forget_others(&self, keep: &[Revision]) -> Result<(), Fault> {
        let repo = mirror::open(&self.0.caller.mirror)?;
        for revision in mirror::loaded(&repo)?.iter().filter(|revision| !keep.contains(revision)) {
            mirror::unset(&repo, &format!("{}{revision}", mirror::LOADED))?;
        }
        Ok(())
    }

    /// The kept revisions.
    pub fn kept(&self) -> Result<Vec<Revision>, Fault> {
        Ok(mirror::loaded(&mirror::open(&self.0.caller.mirror)?)?)
    }

    /// Fetches the status branch and gives its files; `None` when the remote has no such branch.
    pub async fn read_status(&self) -> Result<Option<Files>, Fault> {
        let _turn = self.turn().await?;
        let (_, status) = self.note(self.sync().await)?;
        let Some(id) = status else { return Ok(None) };
        let mirror = self.0.caller.mirror.clone();
        let files = aside(move || tree::read(&mirror::open(&mirror)?, id).map(tree::texts)).await;
        Ok(Some(self.note(files)?))
    }

    /// Watches the repository for pushes, when it is on this machine.
    pub fn watch(&self) -> Option<Watcher> {
        watch::watch(&self.0.url, &self.0.branch)
    }

    /// Waits for our turn to call the remote. A mirror that is damaged, or has vanished, is made anew.
    pub(super) async fn turn(&self) -> Result<MutexGuard<'_, ()>, GitError> {
        let turn = self.0.turn.lock().await;
        let Caller { mirror, config, .. } = &self.0.caller;
        let suspected = self.0.damaged.swap(false, Ordering::Relaxed) && mirror.exists();
        // Git's words may have been about the other side's objects: only a mirror that fails the check is given up.
        if suspected && !self.0.caller.try_run(["fsck", "--no-dangling", "--no-progress"], CLONE_LIMIT).await?.success()
        {
            tracing::warn!("the mirror {} is damaged; it is made anew", mirror.display());
            mirror::move_aside(mirror).map_err(mirror::broken)?;
        }
        if !mirror.join("HEAD").exists() {
            self.0.status_known.store(false, Ordering::Relaxed);
            mirror::prepare(mirror, config)?;
        }
        Ok(turn)
    }

    /// Remembers that the mirror may be damaged.
    pub(super) fn note<T>(&self, result: Result<T, GitError>) -> Result<T, GitError> {
        if let Err(GitError::Mirror(_)) = result {
            self.0.damaged.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Asks the remote for both heads and fetches what is new. Gives the watched head and the status head.
    pub(super) async fn sync(&self) -> Result<(Head, Head), GitError> {
        self.0.status_known.store(false, Ordering::Relaxed);
        let heads = self.remote_heads().await?;
        let pairs =
            [(heads.0, self.0.branch.as_str(), mirror::WATCHED), (heads.1, &self.0.status_branch, mirror::STATUS)];
        let mut wanted: Vec<String> = Vec::new();
        let mut first = false;
        {
            let repo = mirror::open(&self.0.caller.mirror)?;
            for (head, branch, local) in pairs {
                match (head, mirror::head(&repo, local)?) {
                    (None, _) => mirror::unset(&repo, local)?,
                    (Some(there), Some(here)) if there == here => {}
                    (Some(_), here) => {
                        first |= here.is_none();
                        wanted.push(format!("+refs/heads/{branch}:{local}"));
                    }
                }
            }
        }
        if !wanted.is_empty() {
            self.fetch_refs(&wanted, if first { CLONE_LIMIT } else { CALL_LIMIT }).await?;
        }
        let repo = mirror::open(&self.0.caller.mirror)?;
        let heads = (mirror::head(&repo, mirror::WATCHED)?, mirror::head(&repo, mirror::STATUS)?);
        self.0.status_known.store(true, Ordering::Relaxed);
        Ok(heads)
    }

    pub(super) async fn fetch_refs(&self, refspecs: &[String], limit: Duration) -> Result<(), GitError> {
        let options = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        let more = ["--no-recurse-submodules", "--", self.0.caller.remote.as_str()];
        let args = options.into_iter().chain(more).chain(refspecs.iter().map(String::as_str));
        let result = self.0.caller.run(args, limit).await;
        if result.is_err() {
            // A git that was stopped may have left a lock behind.
            mirror::remove_locks(&self.0.caller.mirror).map_err(mirror::broken)?;
        }
        result.map(|_| ())
    }

    async fn remote_heads(&self) -> Result<(Head, Head), GitError> {
        let watched = format!("refs/heads/{}", self.0.branch);
        let status = format!("refs/heads/{}", self.0.status_branch);
        let args = ["ls-remote", "--quiet", "--", &self.0.caller.remote, &watched, &status];
        let output = self.0.caller.run(args, CALL_LIMIT).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        // Patterns match the end of a name, so that other names may be listed as well.
        let head = |name: &str| {
            let line = text.lines().filter_map(|line| line.split_once('\t')).find(|(_, found)| *found == name);
            line.and_then(|(id, _)| ObjectId::from_hex(id.as_bytes()).ok())
        };
        Ok((head(&watched), head(&status)))
    }
}

/// Runs work on many objects where it does not keep the daemon's other tasks waiting.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    // Fails only when the work panics, or when the runtime is shutting down.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(GitError::Interrupted(error.to_string())))
}
