//! One operation at a time on each BMC, also across processes: the daemon and a person at the command line may mean the
//! same one. A lock file for each BMC lies in `bmc/` under the state directory; the kernel lets it go with its holder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Fault, Reason};

/// Between two looks at a lock that somebody else holds.
const LOOK: Duration = Duration::from_millis(50);

/// The right to speak to one BMC, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Turn {
    /// Waits for it, at most so long.
    pub async fn take(state_dir: &Path, address: IpAddr, patience: Duration) -> Result<Turn, Fault> {
        let path = state_dir.join("bmc").join(format!("{address}.lock"));
        let unusable = |error: io::Error| {
            Fault::transient(
                Reason::StateDirUnusable,
                format!("{}: {error}; are you the daemon's user?", path.display()),
            )
        };
        let file = open(&path).map_err(unusable)?;
        let looks = patience.as_millis() / LOOK.as_millis();
        for look in 0..=looks {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _file: file }),
                Err(TryLockError::WouldBlock) if look < looks => tokio::time::sleep(LOOK).await,
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
        }
        Err(Fault::transient(
            Reason::BmcInUse,
            format!("somebody is at work with the BMC at {address}; try again in a moment"),
        ))
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
        hand_over(&dir);
    }
    let file = File::options().create(true).append(true).open(path)?;
    hand_over(path);
    Ok(file)
}

/// Gives something to the owner of the directory that it is in. Only root can, and only for root is there a need.
fn hand_over(path: &Path) {
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
        let take = |last: u8| Turn::take(dir.path(), IpAddr::from([192, 0, 2, last]), Duration::from_millis(100));
        let first = take(1).await.unwrap();
        assert_eq!(take(1).await.unwrap_err().reason, Reason::BmcInUse);
        let _other = take(2).await.unwrap();
        drop(first);
        take(1).await.unwrap();
    }
}
