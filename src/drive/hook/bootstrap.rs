//! A hook on the bootstrap host, which is the one we run on: in a private directory `hooks/<random>` under the state
//! directory, with a clean environment.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::given::Given;
use super::job::Job;
use super::verdict::End;
use crate::drive::log::Log;
use crate::drive::process::{Mark, ProcessError, Run};
use crate::drive::{blocking, private};
use crate::model::{Fault, HookFile, HostSpec, Reason};

const DIR: &str = "hooks";

/// How many times a program that somebody holds open is tried to be started.
const BUSY: usize = 100;

/// Removes the directories that a previous run left behind.
pub fn clear(state_dir: &Path) {
    let dir = state_dir.join(DIR);
    match fs::remove_dir_all(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("{} cannot be removed: {error}", dir.display()),
    }
}

/// Runs the program, for one host or for none in particular.
pub(super) async fn run(job: &Job<'_>, host: Option<&HostSpec>, log: &mut Log) -> Result<(), Fault> {
    let given = Given::new(job, host);
    for name in &given.left_out {
        log.line(&format!("{name} does not fit into the environment: it is in input.json only"));
    }
    let dir = furnish(job, &given).await?;
    let mut run = Run::new(dir.path().join("run")).cwd(dir.path()).time_limit(job.time_limit());
    run.stdin = given.input.to_vec();
    for (name, value) in &given.env {
        run = run.env(name, value.as_str());
    }
    let run = run.env("RACKWRIGHT", job.own);
    let place = job.run.dir();
    let mark = Mark::begin(&place)
        .map_err(|error| Fault::transient(Reason::StateDirUnusable, format!("{}: {error}", place.display())))?;
    let end = match started(run, &mark, log).await {
        Ok(Some(status)) => End::Status(status.into()),
        Ok(None) => End::Signal("unknown".to_owned()),
        Err(ProcessError::TimedOut(..)) => End::TimedOut,
        Err(error @ (ProcessError::NotFound(_) | ProcessError::Start(..))) => {
            let message = format!("{}: {error}: is the #! line of its program right?", job.name());
            return Err(Fault::permanent(Reason::HookNotStarted, message));
        }
        Err(error) => return Err(job.after_begin(Reason::HookFailed, format!("{}: {error}", job.name()))),
    };
    job.verdict(&end, "on the bootstrap host", log)
}

/// Runs it to its end; what it says goes to the log as it says it, and nothing that it started is left.
async fn started(run: Run, mark: &Mark, log: &mut Log) -> Result<Option<i32>, ProcessError> {
    let mut status = run.clone().stream(mark, |from, piece| log.write(from, piece)).await;
    for _ in 0..BUSY {
        // Whoever was forked elsewhere in this process while the program was written holds it open until it is another
        // program itself (`ETXTBSY` of `execve(2)`). Nothing has begun.
        let busy = |error: &ProcessError| matches!(error, ProcessError::Start(_, why) if why.kind() == ErrorKind::ExecutableFileBusy);
        if !status.as_ref().is_err_and(busy) {
            break;
        }
        tokio::task::yield_now().await;
        status = run.clone().stream(mark, |from, piece| log.write(from, piece)).await;
    }
    status
}

/// Makes the directory and all that is in it.
async fn furnish(job: &Job<'_>, given: &Given) -> Result<TempDir, Fault> {
    let parent = job.run.settings.state_dir.join(DIR);
    let (program, files) = (job.hook.program.run.clone(), job.hook.files.clone());
    let input = given.input.clone();
    let make = move || -> Result<TempDir, (PathBuf, io::Error)> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, error)
        };
        private::dir(&parent).map_err(at(&parent))?;
        let private = Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().prefix("").permissions(private).tempdir_in(&parent).map_err(at(&parent))?;
        let write = |name: &str, bytes: &[u8], mode| {
            private::write(&dir.path().join(name), bytes, mode).map(|_| ()).map_err(at(dir.path()))
        };
        write("input.json", &input, 0o600)?;
        write("run", &program, 0o700)?;
        let inside = dir.path().join("files");
        private::dir(&inside).map_err(at(&inside))?;
        for (index, file) in files.iter().enumerate() {
            match file {
                HookFile::Bytes(bytes) => write(&format!("files/{index}"), bytes, 0o600)?,
                HookFile::Path(from) => {
                    let to = inside.join(index.to_string());
                    fs::copy(from, &to).map_err(at(from))?;
                    fs::set_permissions(&to, Permissions::from_mode(0o600)).map_err(at(&to))?;
                }
            }
        }
        Ok(dir)
    };
    let made = blocking("making the directory of a hook", make).await?;
    made.map_err(|(path, error)| {
        let message = format!("{}: {}: {error}", job.name(), path.display());
        Fault::permanent(Reason::FileUnreadable, message)
    })
}
