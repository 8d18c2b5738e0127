//! What a program leaves behind. A program that was started with a [`Mark`] hands it on, in its environment, to everything
//! it starts; so whatever left its process group, or outlived it, can be found and ended, even by the next daemon.
//!
//! What cannot be found is a process that both cleared its environment and left the group, and one that begins its
//! successor and ends faster than `/proc` is read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use crate::drive::private;

/// The environment variable that carries the mark.
pub const VARIABLE: &str = "RACKWRIGHT_RUN";
/// The file in a task's directory that holds the mark of its run.
const FILE: &str = "running";
/// How often processes are looked for: each time all that were found have been killed.
const ROUNDS: usize = 200;
/// How many processes may still be there some time after they were killed, before they are given up.
const STUCK: usize = 20;
/// How long a killed process may take to be gone.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The mark of a run. When it is dropped, everything that bears it is ended.
#[derive(Debug)]
pub struct Mark {
    id: String,
    file: PathBuf,
}

impl Mark {
    /// A new mark, written durably to `running` in `dir` before anything can bear it.
    pub fn begin(dir: &Path) -> io::Result<Mark> {
        private::dir(dir)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mark = Mark { id: hex::encode(random), file: dir.join(FILE) };
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&mark.file)?;
        file.write_all(mark.id.as_bytes())?;
        file.sync_all()?;
        fs::File::open(dir)?.sync_all()?;
        Ok(mark)
    }

    /// Sixteen hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends everything that bears it; gives how many processes that were, once they are gone.
    pub(crate) async fn swept(&self) -> usize {
        let id = self.id.clone();
        // Fails only when the runtime is shutting down; then the drop does it.
        tokio::task::spawn_blocking(move || end(&id).0).await.unwrap_or(0)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // One that cannot be ended now keeps its file: the next daemon tries again.
        if end(&self.id).1 {
            let _ = fs::remove_file(&self.file);
        }
    }
}

/// Ends what the runs of a daemon left behind that was killed: everything that bears the mark of a run under
/// `state_dir/runs`. To be called before a new run can begin.
pub fn sweep_left(state_dir: &Path) {
    let inside = |dir: &Path| fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for file in inside(&state_dir.join("runs")).flat_map(|cluster| inside(&cluster)).map(|task| task.join(FILE)) {
        let Ok(id) = fs::read_to_string(&file) else { continue };
        let id = id.trim();
        let (killed, gone) = if is_mark(id) { end(id) } else { (0, true) };
        if killed > 0 {
            tracing::warn!("{killed} processes of a run that was cut off are ended ({})", file.display());
        }
        if gone {
            // What stays is looked at again by the next daemon.
            let _ = fs::remove_file(&file);
        }
    }
}

fn is_mark(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Kills what bears the mark until nothing does; gives how many that were and whether all are gone.
fn end(id: &str) -> (usize, bool) {
    let (mut killed, mut stuck, mut none) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let found = bearers(id);
        none = if found.is_empty() { none + 1 } else { 0 };
        // Who begins others may have begun one behind the reader's back.
        if none > 2 || (none > 0 && killed == 0) {
            return (killed, true);
        }
        killed += found.len();
        for process in &found {
            // Fails only when it has ended by itself.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        for process in &found {
            // Readable once it has ended.
            let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&PATIENCE));
            stuck += usize::from(ended == Ok(0));
            if stuck > STUCK {
                return (killed, false);
            }
        }
    }
    (killed, false)
}

/// The processes that bear a mark. Each is held before it is looked at a second time, so that its number cannot have been
/// given to another one.
fn bearers(id: &str) -> Vec<OwnedFd> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let hold = |pid: Pid| {
        (bears(pid, id)).then(|| pidfd_open(pid, PidfdFlags::empty()).ok()).flatten().filter(|_| bears(pid, id))
    };
    numbers.filter(|pid| *pid != getpid()).filter_map(hold).collect()
}

/// Whether a process bears a mark. What cannot be read is not ours, or has ended.
fn bears(pid: Pid, id: &str) -> bool {
    let read = |what: &str| fs::read(format!("/proc/{}/{what}", pid.as_raw_nonzero())).unwrap_or_default();
    let wanted = format!("{VARIABLE}={id}");
    read("environ").split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()) || is_master(&read("cmdline"), id)
}

/// Whether a command line is that of OpenSSH's master of shared connections with its socket below a directory that is
/// named by the mark: it writes its title (`ssh: <socket> [mux]`) over its environment.
fn is_master(command: &[u8], id: &str) -> bool {
    let title = String::from_utf8_lossy(command);
    title.strip_prefix("ssh: ").is_some_and(|rest| rest.contains("[mux]") && rest.contains(&format!("/{id}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_of_shared_connections_is_known_by_its_socket() {
        let id = "0123456789abcdef";
        assert!(is_master(b"ssh: /tmp/0123456789abcdef/c/12 [mux]   ", id));
        assert!(!is_master(b"ssh: /tmp/0123456789abcdee/c/12 [mux]", id));
        assert!(!is_master(b"less /tmp/0123456789abcdef/c/12 [mux]", id), "a person who looks");
    }

    #[test]
    fn only_marks_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let task = dir.path().join("runs/c1/ansible");
        fs::create_dir_all(&task).unwrap();
        fs::write(task.join(FILE), "").unwrap();
        sweep_left(dir.path());
        assert!(!task.join(FILE).exists());
    }
}
