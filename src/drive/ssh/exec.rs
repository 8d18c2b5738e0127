//! Commands on the other side (RFC 4254 section 6.5): output as it comes, exit status, time limit.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::time::timeout;

use super::error::SshError;
use super::session::{Peer, Session};

/// Time for the other side to open a channel and to begin a command.
const BEGIN: Duration = Duration::from_secs(20);
/// Time for the rest of the output once a command has ended. Something that it left behind may hold it open for ever.
const REST: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status; `None` when a signal ended it.
    pub status: Option<u32>,
    /// The signal that ended it (`KILL`).
    pub signal: Option<String>,
}

impl Exit {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.signal) {
            (Some(status), _) => write!(f, "exit status {status}"),
            (None, Some(signal)) => write!(f, "ended by signal {signal}"),
            (None, None) => f.write_str("ended without an exit status"),
        }
    }
}

/// What a short command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    pub exit: Exit,
    /// Its standard output and error, as they came; the beginning, when it said too much.
    pub text: String,
}

impl fmt::Display for Output {
    /// How it ended, and its last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(line) => write!(f, "{line} ({})", self.exit),
            None => self.exit.fmt(f),
        }
    }
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Out(Bytes),
    Err(Bytes),
}

impl Said {
    /// The bytes, whichever way they came.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Said::Out(bytes) | Said::Err(bytes) => bytes,
        }
    }
}

/// A command that runs. It reads the end of its standard input when its session is closed or dropped.
pub struct Running {
    reader: Reader,
    writer: ChannelWriteHalf<Msg>,
}

/// The half of a channel that output comes from.
struct Reader {
    channel: ChannelReadHalf,
    exit: Option<Exit>,
    peer: Arc<Peer>,
}

impl Session {
    /// Begins a command; the login shell of the user interprets it. Its standard input stays open
    /// as long as the session.
    pub async fn start(&self, command: &str) -> Result<Running, SshError> {
        let (channel, writer) = self.channel().await?.split();
        let mut reader = Reader { channel, exit: None, peer: self.peer.clone() };
        let begin = async {
            writer.exec(true, command).await.map_err(|error| self.peer.lost(&error.to_string()))?;
            reader.begun().await
        };
        timeout(BEGIN, begin).await.unwrap_or_else(|_| Err(self.peer.lost("it does not begin a command")))?;
        Ok(Running { reader, writer })
    }

    pub(super) async fn channel(&self) -> Result<Channel<Msg>, SshError> {
        match timeout(BEGIN, self.handle.channel_open_session()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(why))) => {
                Err(self.peer.denied(&format!("another channel ({why:?})")))
            }
            Ok(Err(error)) => Err(self.peer.lost(&error.to_string())),
            Err(_) => Err(self.peer.lost("it does not open a channel")),
        }
    }

    /// Runs a command to its end: gives it `input`, hands on its output as it comes. At the time limit its channel is
    /// closed; what the command then does is its own matter.
    pub async fn exec(
        &self,
        command: &str,
        input: &[u8],
        limit: Duration,
        on_output: &mut (dyn FnMut(&Said) + Send),
    ) -> Result<Exit, SshError> {
        let run = async {
            let mut running = self.start(command).await?;
            running.feed(input, on_output).await
        };
        timeout(limit, run).await.unwrap_or_else(|_| Err(self.peer.timed_out(limit)))
    }

    /// Runs a short command without input; keeps the first `cap` bytes of what it says.
    pub async fn output(&self, command: &str, limit: Duration, cap: usize) -> Result<Output, SshError> {
        let mut kept = Vec::new();
        let mut keep = |said: &Said| {
            let room = cap.saturating_sub(kept.len()).min(said.bytes().len());
            kept.extend_from_slice(&said.bytes()[..room]);
        };
        let exit = self.exec(command, &[], limit, &mut keep).await?;
        Ok(Output { exit, text: String::from_utf8_lossy(&kept).into_owned() })
    }
}

impl Running {
    /// Writes to its standard input; waits until the other side has room for it.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), SshError> {
        let sent = self.writer.data_bytes(Bytes::copy_from_slice(bytes)).await;
        sent.map_err(|error| self.reader.peer.lost(&error.to_string()))
    }

    /// The next piece of output; `None` when there is no more.
    pub async fn next(&mut self) -> Option<Said> {
        self.reader.next().await
    }

    /// How it ended, after [`next`](Running::next) gave nothing more. Without an exit status the connection was lost: a
    /// server tells one, or the signal, of every command that ends (RFC 4254 section 6.10).
    pub fn exit(&self) -> Result<Exit, SshError> {
        self.reader.exit()
    }

    /// It has not ended although it should have.
    pub(crate) fn too_long(&self, limit: Duration) -> SshError {
        self.reader.peer.timed_out(limit)
    }

    async fn feed(&mut self, input: &[u8], on_output: &mut (dyn FnMut(&Said) + Send)) -> Result<Exit, SshError> {
        let Running { reader, writer } = self;
        let write = async {
            // A command that does not read its input may end; its exit status tells the rest.
            if input.is_empty() || writer.data_bytes(Bytes::copy_from_slice(input)).await.is_ok() {
                let _ = writer.eof().await;
            }
            pending::<()>().await;
        };
        let read = async {
            while let Some(said) = reader.next().await {
                on_output(&said);
            }
        };
        tokio::select! { () = write => {}, () = read => {} }
        reader.exit()
    }
}

impl Reader {
    async fn next(&mut self) -> Option<Said> {
        loop {
            let message = match self.exit {
                None => self.channel.wait().await,
                Some(_) => timeout(REST, self.channel.wait()).await.ok().flatten(),
            };
            match message? {
                ChannelMsg::Data { data } => return Some(Said::Out(data)),
                ChannelMsg::ExtendedData { data, .. } => return Some(Said::Err(data)),
                ChannelMsg::ExitStatus { exit_status } => {
                    self.exit = Some(Exit { status: Some(exit_status), signal: None });
                }
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    self.exit = Some(Exit { status: None, signal: Some(format!("{signal_name:?}")) });
                }
                ChannelMsg::Close => return None,
                _ => {}
            }
        }
    }

    fn exit(&self) -> Result<Exit, SshError> {
        self.exit.clone().ok_or_else(|| self.peer.lost("it ended under way"))
    }

    async fn begun(&mut self) -> Result<(), SshError> {
        loop {
            match self.channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure) => return Err(self.peer.denied("to run a command")),
                Some(_) => {}
                None => return Err(self.peer.lost("it ended under way")),
            }
        }
    }
}
