//! A program whose output is passed on while it runs, and of which nothing is left afterwards.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::mark::{Mark, VARIABLE};
use super::{GRACE, Group, ProcessError, Run, not_started, signal};
use crate::drive::log::Stream;

/// How long reading the rest of the output may take once everything that could write has been killed.
const REST: Duration = Duration::from_secs(10);

impl Run {
    /// Runs it to its end, with the mark in its environment; `say` is given what it says, in pieces, as it says it. Gives
    /// its exit status, `None` when a signal ended it. At the time limit it is ended, with SIGTERM and a moment's grace.
    /// However it ends, everything that it started is ended before this returns; when the returned future is dropped, its
    /// group is, and the rest goes with the mark.
    pub async fn stream(
        self,
        mark: &Mark,
        mut say: impl FnMut(Stream, &[u8]) + Send,
    ) -> Result<Option<i32>, ProcessError> {
        let name = self.program.to_string_lossy().into_owned();
        let failed = |error| ProcessError::Io(name.clone(), error);
        let run = self.env(VARIABLE, mark.id());
        let mut group = Group(run.command().spawn().map_err(|error| not_started(&name, error))?);
        let mut exit = watch(&group).map_err(failed)?;
        let mut output = Output { out: group.0.stdout.take(), err: group.0.stderr.take(), buffers: Box::default() };
        let stdin = group.0.stdin.take();
        let mut write = pin!(async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input closes the pipe; its exit status tells the rest.
                let _ = stdin.write_all(&run.stdin).await;
            }
        });
        let mut written = false;
        let talk = async {
            loop {
                tokio::select! {
                    _ = &mut exit => return,
                    () = &mut write, if !written => written = true,
                    piece = output.next(), if output.is_open() => piece.pass(&mut say),
                }
            }
        };
        let in_time = tokio::time::timeout(run.time_limit, talk).await.is_ok();
        if !in_time {
            signal(group.pid(), Signal::TERM);
            // Whoever is stopped may have last words; who blocks on them cannot stop.
            let last = async {
                if !output.until(&mut exit, &mut say).await {
                    let _ = exit.await;
                }
            };
            let _ = tokio::time::timeout(GRACE, last).await;
        }
        // It is not reaped yet, so that its number is still that of its group.
        signal(group.pid(), Signal::KILL);
        let status = group.0.wait().await.map_err(failed)?.code();
        mark.swept().await;
        let rest = output.until(std::future::pending::<()>(), &mut say);
        let _ = tokio::time::timeout(REST, rest).await;
        if in_time { Ok(status) } else { Err(ProcessError::TimedOut(name, run.time_limit)) }
    }
}

/// Tells when the program has ended, without reaping it. On a thread of its own, which ends with the program.
fn watch(group: &Group) -> io::Result<JoinHandle<()>> {
    let pid = group.pid().ok_or(io::ErrorKind::NotFound)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(tokio::task::spawn_blocking(move || {
        while poll(&mut [PollFd::new(&process, PollFlags::IN)], None) == Err(Errno::INTR) {}
    }))
}

/// Both outputs of a program.
struct Output<O, E> {
    out: Option<O>,
    err: Option<E>,
    buffers: Box<Buffers>,
}

struct Buffers([u8; 32 << 10], [u8; 32 << 10]);

impl Default for Buffers {
    fn default() -> Self {
        Buffers([0; 32 << 10], [0; 32 << 10])
    }
}

/// What was read from one of them; nothing once it has ended.
struct Piece<'b>(Stream, &'b [u8]);

impl Piece<'_> {
    fn pass(&self, say: &mut impl FnMut(Stream, &[u8])) {
        if !self.1.is_empty() {
            say(self.0, self.1);
        }
    }
}

impl<O: AsyncRead + Unpin, E: AsyncRead + Unpin> Output<O, E> {
    fn is_open(&self) -> bool {
        self.out.is_some() || self.err.is_some()
    }

    /// The next piece of either.
    async fn next(&mut self) -> Piece<'_> {
        let Buffers(out, err) = &mut *self.buffers;
        tokio::select! {
            piece = read(&mut self.out, out), if self.out.is_some() => Piece(Stream::Out, piece),
            piece = read(&mut self.err, err), if self.err.is_some() => Piece(Stream::Err, piece),
            else => Piece(Stream::Out, &[]),
        }
    }

    /// Passes on what is said until both have ended, or until `end`; whether that has come.
    async fn until<T>(&mut self, end: impl Future<Output = T>, say: &mut impl FnMut(Stream, &[u8])) -> bool {
        let mut end = pin!(end);
        while self.is_open() {
            tokio::select! {
                _ = &mut end => return true,
                piece = self.next() => piece.pass(say),
            }
        }
        false
    }
}

async fn read<'b>(from: &mut Option<impl AsyncRead + Unpin>, buffer: &'b mut [u8]) -> &'b [u8] {
    let count = match from {
        // An output that cannot be read has ended.
        Some(open) => open.read(buffer).await.unwrap_or(0),
        None => 0,
    };
    if count == 0 {
        *from = None;
    }
    &buffer[..count]
}
