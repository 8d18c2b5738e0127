//! One operation at a time on each BMC, also across processes: the daemon and a command by hand may mean the same one. A
//! lock file for each BMC lies in `bmc/` under the state directory; the kernel releases it when its holder ends.
//!
//! [`BmcPool`](super::BmcPool) holds it from the first request of an operation until its session is closed, and
//! [`manual`](super::manual) for the whole of a command, whatever the command is. An open serial console does not hold it:
//! it would keep the daemon away from the BMC for hours.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Fault, Reason};

/// Between two attempts to take a lock that is held.
const POLL: Duration = Duration::from_millis(50);

/// The right to speak to one BMC, until it is dropped.
#[derive(Debug)]
pub struct BmcLock {
    _file: File,
}

impl BmcLock {
    /// Waits for it, at most so long.
    pub async fn take(state_dir: &Path, address: IpAddr, wait: Duration) -> Result<BmcLock, Fault> {
        let path = state_dir.join("bmc").join(format!("{address}.lock"));
        let unusable = |error: io::Error| {
            let message = format!("{}: {error}; run the command as the daemon's user, or as root", path.display());
            Fault::transient(Reason::StateDirUnusable, message)
        };
        let file = open(&path).map_err(unusable)?;
        let attempts = wait.as_millis() / POLL.as_millis();
        for attempt in 0..=attempts {
            match file.try_lock() {
                Ok(()) => return Ok(BmcLock { _file: file }),
                Err(TryLockError::WouldBlock) if attempt < attempts => tokio::time::sleep(POLL).await,
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
        }
        let message = format!(
            "another process (the daemon or `rackwright bmc`) uses the BMC at {address}; try again in a minute"
        );
        Err(Fault::transient(Reason::BmcInUse, message))
    }
}

/// Opens a lock file, and makes it where it is missing, for whoever owns the state directory: root's file must not lock
/// the daemon's user out.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let dir = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    if !dir.exists() {
        fs::create_dir_all(&dir)?;
        chown_like_parent(&dir);
    }
    let file = File::options().create(true).append(true).open(path)?;
    chown_like_parent(path);
    Ok(file)
}

/// Only root can, and only for root is there a need.
fn chown_like_parent(path: &Path) {
    use std::os::unix::fs::{MetadataExt as _, chown};
    if let Some(Ok(about)) = path.parent().map(fs::metadata) {
        let _ = chown(path, Some(about.uid()), Some(about.gid()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bmc_is_spoken_to_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let take = |last: u8| BmcLock::take(dir.path(), IpAddr::from([192, 0, 2, last]), Duration::from_millis(100));
        let first = take(1).await.unwrap();
        assert_eq!(take(1).await.unwrap_err().reason, Reason::BmcInUse);
        let _other = take(2).await.unwrap();
        drop(first);
        take(1).await.unwrap();
    }
}
