//! Files to the other side, over SFTP (draft-ietf-secsh-filexfer-02, what OpenSSH speaks).

use std::path::Path;
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use russh_sftp::client::SftpSession;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::error::SshError;
use super::session::{Peer, Session};

/// Time for the other side to begin the subsystem.
const BEGIN: Duration = Duration::from_secs(20);
/// Time for one answer of its, in seconds.
const ANSWER: u64 = 30;
/// How much of a file is read at a time.
const PIECE: usize = 256 << 10;

/// The files of a host.
pub struct Files<'s> {
    sftp: SftpSession,
    session: &'s Session,
}

impl Session {
    /// Opens the subsystem `sftp`.
    pub async fn files(&self) -> Result<Files<'_>, SshError> {
        let mut channel = self.channel().await?;
        let begin = async {
            subsystem(&mut channel, &self.peer).await?;
            let sftp = SftpSession::new(channel.into_stream()).await;
            sftp.map_err(|error| self.peer.denied(&format!("the sftp subsystem: {error}")))
        };
        let sftp = timeout(BEGIN, begin).await.unwrap_or_else(|_| Err(self.peer.lost("sftp does not begin")))?;
        sftp.set_timeout(ANSWER);
        Ok(Files { sftp, session: self })
    }
}

async fn subsystem(channel: &mut Channel<Msg>, peer: &Peer) -> Result<(), SshError> {
    channel.request_subsystem(true, "sftp").await.map_err(|error| peer.lost(&error.to_string()))?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => return Err(peer.denied("the sftp subsystem")),
            Some(_) => {}
            None => return Err(peer.lost("it ended under way")),
        }
    }
}

impl Files<'_> {
    /// Makes a directory that is ours alone.
    pub async fn make_dir(&self, path: &str) -> Result<(), SshError> {
        self.sftp.create_dir(path).await.map_err(|error| self.failed(path, error))
    }

    /// Writes a new file with these bytes and this mode. It must not exist.
    pub async fn put(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), SshError> {
        let mut to = self.create(path, mode).await?;
        let written = to.write_all(bytes).await;
        written.and(to.shutdown().await).map_err(|error| self.failed(path, error))
    }

    /// Writes a new file with the contents of one of ours, read piece by piece.
    pub async fn put_file(&self, path: &str, from: &Path, mode: u32) -> Result<(), SshError> {
        let unread = |error: std::io::Error| self.failed(path, format!("{} cannot be read: {error}", from.display()));
        let mut file = tokio::fs::File::open(from).await.map_err(unread)?;
        let mut to = self.create(path, mode).await?;
        let mut piece = vec![0; PIECE];
        loop {
            let count = file.read(&mut piece).await.map_err(unread)?;
            if count == 0 {
                break;
            }
            to.write_all(&piece[..count]).await.map_err(|error| self.failed(path, error))?;
        }
        to.shutdown().await.map_err(|error| self.failed(path, error))
    }

    async fn create(&self, path: &str, mode: u32) -> Result<russh_sftp::client::fs::File, SshError> {
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
        let attributes = FileAttributes { permissions: Some(mode), ..FileAttributes::empty() };
        let file = self.sftp.open_with_flags_and_attributes(path, flags, attributes).await;
        file.map_err(|error| self.failed(path, error))
    }

    fn failed(&self, path: &str, why: impl ToString) -> SshError {
        if self.session.handle.is_closed() {
            return self.session.peer.lost("it ended under way");
        }
        self.session.peer.file(path, why.to_string())
    }
}
