//! A hook on a host, over SSH.
//!
//! A first channel holds a private directory there (`keep.sh`): its shell makes it with `mktemp`, tells its name, waits for
//! one word, and removes it in every case, also when the channel ends before the word came or while the program runs. A
//! second channel (SFTP) brings the files. Then the word is said, and `start.sh` reads the environment from a file, removes
//! that, and runs the program with `timeout` in a process group of its own. The channel stays open as long as it runs:
//! whoever is cut off has its program ended.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::given::{Given, quote};
use super::job::Job;
use super::verdict::End;
use crate::drive::log::{Log, Stream};
use crate::drive::ssh::{Files, Running, Said, Session, SshError};
use crate::model::{Fault, HookFile, HostSpec, Reason};

const KEEP: &str = include_str!("keep.sh");
const START: &str = include_str!("start.sh");

/// Time for making the directory.
const MAKE: Duration = Duration::from_secs(30);
/// How long the `ready` command may take, and how much of its output is kept.
const READY: (Duration, usize) = (Duration::from_secs(60), 16 << 10);
/// Over the time limit, which `timeout` keeps on the host: ten seconds of its own, and then some for a slow host.
const MARGIN: Duration = Duration::from_secs(40);
/// How much a login shell may say before the directory's name.
const NOISE: usize = 64 << 10;

/// Runs the program for one host, on it.
pub(super) async fn run(job: &Job<'_>, host: &HostSpec, first: bool, log: &mut Log) -> Result<(), Fault> {
    readable(job).await?;
    let session = Session::connect(&job.run.target(host)?).await.map_err(|error| job.before(&error))?;
    let result = on(job, &session, host, first, log).await;
    session.close().await;
    result
}

async fn on(job: &Job<'_>, session: &Session, host: &HostSpec, first: bool, log: &mut Log) -> Result<(), Fault> {
    if first && let Some(command) = &job.hook.program.ready {
        ready(job, session, host, command, log).await?;
    }
    if job.hook.sudo {
        may_be_root(job, session, host, log).await?;
    }
    let given = Given::new(job, Some(host));
    for name in &given.left_out {
        log.line(&format!("{name} does not fit into the environment: it is in input.json only"));
    }
    let (dir, files) = tokio::join!(RemoteDir::make(job, session, log), session.files());
    let (mut dir, files) = (dir?, files.map_err(|error| job.before(&error))?);
    dir.fill(job, &files, &given).await.map_err(|error| job.before(&error))?;
    let end = dir.run(job, log).await.map_err(|error| job.lost(&error, log))?;
    job.verdict(&end, &format!("on {}", host.id), log)
}

/// Files of ours must be there before anything is begun elsewhere.
async fn readable(job: &Job<'_>) -> Result<(), Fault> {
    for file in &job.hook.files {
        if let HookFile::Path(path) = file
            && let Err(error) = tokio::fs::File::open(path).await
        {
            let message = format!("{}: {} cannot be read: {error}", job.name(), path.display());
            return Err(Fault::permanent(Reason::FileUnreadable, message));
        }
    }
    Ok(())
}

/// The hook's own condition. As long as it does not hold nothing has begun.
async fn ready(job: &Job<'_>, session: &Session, host: &HostSpec, command: &str, log: &mut Log) -> Result<(), Fault> {
    let said = session
        .output(&shell(&format!("exec 2>&1\n{command}"), &[]), READY.0, READY.1)
        .await
        .map_err(|error| job.before(&error))?;
    if said.exit.success() {
        return Ok(());
    }
    log.write(Stream::Out, said.text.as_bytes());
    let said = log.mask(&said.to_string());
    Err(Fault::transient(Reason::NotReady, format!("{}: {} is not ready for it yet: {said}", job.name(), host.id)))
}

async fn may_be_root(job: &Job<'_>, session: &Session, host: &HostSpec, log: &mut Log) -> Result<(), Fault> {
    let said = session.output("sudo -n true", READY.0, READY.1).await.map_err(|error| job.before(&error))?;
    if said.exit.success() {
        return Ok(());
    }
    let message = format!("{}: the user may not use sudo on {}: {}", job.name(), host.id, log.mask(&said.to_string()));
    Err(Fault::permanent(Reason::SudoRefused, message))
}

/// A private directory on a host, and the channel that holds it.
struct RemoteDir {
    keeper: Running,
    dir: String,
}

impl RemoteDir {
    async fn make(job: &Job<'_>, session: &Session, log: &mut Log) -> Result<RemoteDir, Fault> {
        let sudo = if job.hook.sudo { "sudo -n --" } else { "" };
        let command = shell(&without_comments(KEEP), &[sudo, &seconds(job.time_limit()).to_string()]);
        let making = async {
            let mut keeper = session.start(&command).await?;
            let mut heard = Vec::new();
            while let Some(said) = keeper.next().await {
                log.write(stream(&said), said.bytes());
                if let Said::Out(bytes) = &said {
                    heard.extend_from_slice(bytes);
                }
                if let Some(dir) = directory(&heard) {
                    return Ok(Some(RemoteDir { keeper, dir }));
                }
                if heard.len() > NOISE {
                    break;
                }
            }
            Ok(None)
        };
        match timeout(MAKE, making).await {
            Ok(Ok(Some(made))) => Ok(made),
            Ok(Err(error)) => Err(job.before(&error)),
            Ok(Ok(None)) | Err(_) => {
                let said = log.tail(1);
                let message = format!("{}: no directory for it can be made on the host: {said}", job.name());
                Err(Fault::transient(Reason::NoDirectory, message))
            }
        }
    }

    /// Brings the files. The small ones go together: what counts is how often somebody waits for an answer.
    async fn fill(&self, job: &Job<'_>, files: &Files<'_>, given: &Given) -> Result<(), SshError> {
        let path = |name: &str| format!("{}/{name}", self.dir);
        let (start, env, input, run, dir) =
            (path("start"), path("env"), path("input.json"), path("run"), path("files"));
        let shell = given.as_shell();
        tokio::try_join!(
            files.put(&start, START.as_bytes(), 0o600),
            files.put(&env, shell.as_bytes(), 0o600),
            files.put(&input, &given.input, 0o600),
            files.put(&run, &job.hook.program.run, 0o700),
            files.make_dir(&dir),
        )?;
        for (index, file) in job.hook.files.iter().enumerate() {
            let path = path(&format!("files/{index}"));
            match file {
                HookFile::Bytes(bytes) => files.put(&path, bytes, 0o600).await?,
                HookFile::Path(from) => files.put_file(&path, from, 0o600).await?,
            }
        }
        Ok(())
    }

    /// Says the word, and passes on what the program says. From here on it may have begun.
    async fn run(&mut self, job: &Job<'_>, log: &mut Log) -> Result<End, SshError> {
        let limit = job.time_limit();
        let begun = Instant::now();
        self.keeper.write(b"go\n").await?;
        let listen = async {
            while let Some(said) = self.keeper.next().await {
                log.write(stream(&said), said.bytes());
            }
        };
        let in_time = timeout(limit.saturating_add(MARGIN), listen).await.is_ok();
        if !in_time {
            return Err(self.keeper.too_long(limit));
        }
        let exit = self.keeper.exit()?;
        // 124 and 137 (128 + SIGKILL) are also what a program may say by itself.
        let stopped = matches!(exit.status, Some(124 | 137)) && begun.elapsed() >= limit;
        Ok(match (exit.status, exit.signal) {
            _ if stopped => End::TimedOut,
            (Some(status), _) => End::Status(status.into()),
            (None, signal) => End::Signal(signal.unwrap_or_else(|| "unknown".to_owned())),
        })
    }
}

fn stream(said: &Said) -> Stream {
    match said {
        Said::Out(_) => Stream::Out,
        Said::Err(_) => Stream::Err,
    }
}

/// The directory's name, once its line is there.
fn directory(heard: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(heard).ok()?;
    let whole = &text[..=text.rfind('\n')?];
    let dir = whole.lines().find_map(|line| line.strip_prefix("rackwright "))?;
    dir.starts_with('/').then(|| dir.to_owned())
}

fn without_comments(script: &str) -> String {
    script.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// A command line that gives a script to `sh`.
fn shell(script: &str, args: &[&str]) -> String {
    let mut command = "exec sh -c ".to_owned();
    quote(script, &mut command);
    command.push_str(" rackwright");
    for arg in args {
        command.push(' ');
        quote(arg, &mut command);
    }
    command
}

/// Whole seconds, at least one: `timeout 0` is for ever.
fn seconds(limit: Duration) -> u64 {
    limit.as_secs().max(1)
}
