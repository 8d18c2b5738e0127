//! Running other programs. The only place that starts one: by argument list, never through a shell, with a clean
//! environment, a time limit, capped output, and its own process group, which goes down as a whole.
#![allow(missing_docs, reason = "the builder's names say all")]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::model::span;
use crate::settings;

pub mod mark;
mod stream;

pub use mark::Mark;

/// How long a program may take to clean up after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// A program to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The program: a name looked up in `PATH`, or a path.
    pub program: OsString,
    /// Its arguments. Never secrets: other users can read them.
    pub args: Vec<OsString>,
    /// Its environment, besides `PATH`, `HOME` and `LANG=C`. A later entry wins.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; default: ours.
    pub cwd: Option<PathBuf>,
    pub stdin: Vec<u8>,
    pub time_limit: Duration,
    /// How many bytes of standard output, and of standard error, are kept; the rest is read and dropped.
    pub output_limit: usize,
}

/// How a program ended and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output, at most `output_limit` bytes of it.
    pub stdout: Vec<u8>,
    /// Standard error, likewise; bytes that are not UTF-8 are replaced.
    pub stderr: String,
    /// Whether output was dropped because of `output_limit`.
    pub truncated: bool,
}

impl Output {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }
}

/// Why a program has no [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("`{0}` was not found: is it installed?")]
    NotFound(String),
    #[error("`{0}` could not be started: {1}")]
    Start(String, #[source] io::Error),
    #[error("`{0}`: {1}")]
    Io(String, #[source] io::Error),
    #[error("`{0}` was stopped after {span} without an answer", span = span(*.1))]
    TimedOut(String, Duration),
}

impl Run {
    /// A program without arguments, with a minute and a mebibyte.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Run {
            program: program.as_ref().into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            time_limit: Duration::from_secs(60),
            output_limit: 1 << 20,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Runs it to its end. At the time limit, and when the returned future is dropped, its whole process group is
    /// ended: with SIGTERM and a moment's grace at the limit, at once when dropped.
    pub async fn output(self) -> Result<Output, ProcessError> {
        let name = self.program.to_string_lossy().into_owned();
        let child = self.command().spawn().map_err(|error| not_started(&name, error))?;
        let mut group = Group(child);
        let talk = tokio::time::timeout(self.time_limit, group.talk(&self.stdin, self.output_limit)).await;
        match talk {
            Ok(result) => result.map_err(|error| ProcessError::Io(name, error)),
            Err(_) => {
                group.stop().await;
                Err(ProcessError::TimedOut(name, self.time_limit))
            }
        }
    }

    /// Starts a program that runs on until it is stopped: its standard input and output are handed over, its standard
    /// error goes to `log`. Neither limit applies; its whole process group ends when the result is dropped.
    pub fn start(self, log: std::fs::File) -> Result<Running, ProcessError> {
        let name = self.program.to_string_lossy().into_owned();
        let child = self.command().stderr(log).spawn();
        let mut group = Group(child.map_err(|error| not_started(&name, error))?);
        let (stdin, stdout) = (group.0.stdin.take(), group.0.stdout.take());
        match (stdin, stdout) {
            (Some(stdin), Some(stdout)) => Ok(Running { stdin, stdout: BufReader::new(stdout).lines(), group }),
            _ => Err(ProcessError::Io(name, io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Runs it to its end with our own standard input, output and error; gives its exit status, `None` when a signal
    /// ended it. No limit applies; its whole process group ends when the returned future is dropped.
    pub(crate) async fn attached(self) -> Result<Option<i32>, ProcessError> {
        let name = self.program.to_string_lossy().into_owned();
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let mut group = Group(command.spawn().map_err(|error| not_started(&name, error))?);
        let status = group.0.wait().await.map_err(|error| ProcessError::Io(name, error))?;
        Ok(status.code())
    }

    /// Becomes the program: it keeps our process id, our terminal and our place among its processes. Comes back only when
    /// it could not be started. No limit applies.
    pub fn replace(self) -> ProcessError {
        let mut command = self.bare();
        let error = command.as_std_mut().exec();
        not_started(&self.program.to_string_lossy(), error)
    }

    fn command(&self) -> Command {
        let mut command = self.bare();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that runs programs")]
    fn bare(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear();
        command.envs(settings::environment(&["PATH", "HOME"])).env("LANG", "C").env("LC_ALL", "C");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        command
    }
}

fn not_started(name: &str, error: io::Error) -> ProcessError {
    match error.kind() {
        io::ErrorKind::NotFound => ProcessError::NotFound(name.to_owned()),
        _ => ProcessError::Start(name.to_owned(), error),
    }
}

/// A program that runs on ([`Run::start`]).
pub struct Running {
    pub stdin: ChildStdin,
    pub stdout: Lines<BufReader<ChildStdout>>,
    group: Group,
}

impl Running {
    /// Waits for its end; gives its exit status, `None` when a signal ended it.
    pub async fn ended(&mut self) -> Option<i32> {
        self.group.0.wait().await.ok()?.code()
    }

    /// Ends it and everything that it started, at once.
    pub async fn kill(mut self) {
        signal(self.group.pid(), Signal::KILL);
        // It has been killed, so that this ends.
        let _ = self.group.0.wait().await;
    }
}

/// A running program and whatever it started. As long as the program is not reaped its id cannot be given to another
/// process, so that its group can be signalled safely.
struct Group(Child);

impl Group {
    async fn talk(&mut self, input: &[u8], limit: usize) -> io::Result<Output> {
        let (stdin, stdout, stderr) = (self.0.stdin.take(), self.0.stdout.take(), self.0.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input closes the pipe; its exit status tells the rest.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), out, err) = tokio::join!(write, read_capped(stdout, limit), read_capped(stderr, limit));
        let ((stdout, more_out), (stderr, more_err)) = (out?, err?);
        let status = self.0.wait().await?.code();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ok(Output { status, stdout, stderr, truncated: more_out || more_err })
    }

    async fn stop(&mut self) {
        let pid = self.pid();
        signal(pid, Signal::TERM);
        let ended = tokio::time::timeout(GRACE, self.0.wait()).await.is_ok();
        signal(pid, Signal::KILL); // whoever did not listen, also when their leader did
        if !ended {
            let _ = self.0.wait().await;
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        signal(self.pid(), Signal::KILL);
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // Fails only when nothing is left to be signalled.
        let _ = kill_process_group(group, signal);
    }
}

/// Reads everything and keeps the first `limit` bytes; tells whether there was more.
async fn read_capped(from: Option<impl AsyncRead + Unpin>, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let Some(mut from) = from else { return Ok((Vec::new(), false)) };
    let (mut kept, mut more) = (Vec::new(), false);
    let mut buffer = [0; 8192];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok((kept, more));
        }
        let room = limit.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&buffer[..room]);
        more |= room < count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_gets_its_arguments_input_and_a_clean_environment() {
        let output = Run::new("sh")
            .args(["-c", "cat; env | grep -v -e ^PWD -e ^SHLVL -e ^_ -e ^OLDPWD; echo oops >&2; exit 3"])
            .env("GIVEN", "yes");
        let output = Run { stdin: b"in\n".to_vec(), ..output }.output().await.unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let mut names: Vec<_> = text.lines().skip(1).filter_map(|line| line.split('=').next()).collect();
        names.retain(|name| *name != "HOME");
        names.sort_unstable();
        assert!(text.starts_with("in\n"), "{text}");
        assert_eq!(names, ["GIVEN", "LANG", "LC_ALL", "PATH"]);
        assert_eq!((output.status, output.stderr.as_str(), output.success()), (Some(3), "oops\n", false));
    }

    #[tokio::test]
    async fn output_is_capped_without_blocking_the_program() {
        let run = Run { output_limit: 10, ..Run::new("sh").args(["-c", "head -c 1000000 /dev/zero; echo done >&2"]) };
        let output = run.output().await.unwrap();
        assert_eq!((output.stdout.len(), output.truncated, output.stderr.as_str()), (10, true, "done\n"));
    }

    #[tokio::test]
    async fn the_whole_group_ends_at_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = "sleep 600 & echo $! > pids.new; echo $$ >> pids.new; mv pids.new pids; wait";
        let run = Run::new("sh").args(["-c", script]).cwd(dir.path()).time_limit(Duration::from_millis(500));
        assert!(matches!(run.output().await, Err(ProcessError::TimedOut(_, _))));
        let pids = std::fs::read_to_string(pids).unwrap();
        for pid in pids.split_whitespace() {
            assert!(gone(pid).await, "{pid} is still there");
        }
    }

    #[tokio::test]
    async fn the_whole_group_ends_when_nobody_waits_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let script = "sleep 600 & echo $! > pids.new; echo $$ >> pids.new; mv pids.new pids; wait";
        let run = Run::new("sh").args(["-c", script]).cwd(dir.path()).output();
        let started = async {
            while !dir.path().join("pids").exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = run => panic!("it cannot end"), () = started => {} }
        for pid in std::fs::read_to_string(dir.path().join("pids")).unwrap().split_whitespace() {
            assert!(gone(pid).await, "{pid} is still there");
        }
    }

    /// Waits until a process is gone, or is only waiting to be reaped.
    async fn gone(pid: &str) -> bool {
        let dead = async {
            loop {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                if stat.is_empty() || stat.contains(") Z ") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), dead).await.is_ok()
    }

    #[tokio::test]
    async fn a_missing_program_is_told_by_name() {
        let error = Run::new("no-such-program-here").output().await.unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
        assert!(matches!(error, ProcessError::NotFound(_)));
    }
}
