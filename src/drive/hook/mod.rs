//! Hooks: their programs, run on the bootstrap host or over SSH on the targets, one target after the other.
//!
//! What a program is given is the same in both places (`given`): a private directory that is removed afterwards, beside
//! it `input.json` and `files/0`, `files/1`, …, `input.json` on standard input, and its arguments as environment variables.
//! Nothing of that is ever part of a command line. It exits with 0 when it is done, with 75 (`EX_TEMPFAIL` of `sysexits.h`)
//! when nothing was changed and it should be tried again later, with anything else when it failed. When it ends, what it
//! left running in its process group is ended too.
//!
//! | | |
//! |---|---|
//! | `host` | over SSH on a host |
//! | `bootstrap` | here |
//! | `verdict` | what an end means |

use std::path::Path;

use super::log::Log;
use super::task::TaskRun;
use crate::model::{Fault, FaultClass, HookTask, HostId, HostSpec, OnFailure, Outcome, Place, Reason, Scope, TaskNews};

mod bootstrap;
mod given;
mod host;
mod job;
mod verdict;

pub use bootstrap::clear;
use job::Job;

/// How many targets' failures a hook's own tells; each target keeps its own.
const TOLD: usize = 5;

/// Runs a hook for all that it is due for. `own` is our own program, for programs that call it.
pub async fn run(own: &Path, hook: &HookTask, run: &TaskRun<'_>) -> Result<Outcome, Fault> {
    let job = Job { hook, run, own };
    let log = Log::create(&run.dir(), &hook.secrets, (run.clock)());
    let mut log = log.map_err(|error| Fault::transient(Reason::NoLog, format!("{}: {error}", run.dir().display())))?;
    log.line(&format!("{} ({})", run.task.name, hook.program.name));
    let result = job.all(&mut log).await;
    match &result {
        Ok(()) => log.line("done"),
        Err(fault) => log.line(&fault.to_string()),
    }
    log.close();
    result.map(|()| Outcome::TaskDone)
}

impl Job<'_> {
    async fn all(&self, log: &mut Log) -> Result<(), Fault> {
        let hosts: Vec<&HostSpec> = self.run.hosts().map(|host| &**host).collect();
        match self.hook.program.scope {
            Scope::Each if !hosts.is_empty() => self.each(&hosts, log).await,
            Scope::None if self.hook.program.place == Place::Bootstrap => bootstrap::run(self, None, log).await,
            Scope::Once | Scope::None if !hosts.is_empty() => self.one(hosts[0], true, log).await,
            _ => Err(Fault::permanent(Reason::NoTargets, "its targets have left the repository")),
        }
    }

    /// One after the other. Each result is told before the next begins.
    async fn each(&self, hosts: &[&HostSpec], log: &mut Log) -> Result<(), Fault> {
        let mut failed = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            let result = self.one(host, index == 0, log).await;
            self.run.tell(TaskNews::Target { host: host.id.clone(), result: result.clone() }).await;
            if let Err(fault) = result {
                // What is not ready for one is not for the others.
                let stop = self.run.task.on_failure == OnFailure::Stop || fault.reason == Reason::NotReady;
                failed.push((&host.id, fault));
                if stop {
                    break;
                }
            }
        }
        together(failed, hosts.len())
    }

    async fn one(&self, host: &HostSpec, first: bool, log: &mut Log) -> Result<(), Fault> {
        log.line(&format!("-- {}", host.id));
        match self.hook.program.place {
            Place::Host => host::run(self, host, first, log).await,
            Place::Bootstrap => bootstrap::run(self, Some(host), log).await,
        }
    }
}

/// The fault of all: of the class that waits for a person if any does.
fn together(mut failed: Vec<(&HostId, Fault)>, of: usize) -> Result<(), Fault> {
    if failed.len() < 2 {
        return failed.pop().map_or(Ok(()), |(_, fault)| Err(fault));
    }
    let classes = [FaultClass::Operator, FaultClass::Permanent, FaultClass::Transient];
    let worst = classes.iter().find_map(|class| failed.iter().find(|(_, fault)| fault.class == *class));
    let (class, reason) =
        worst.map_or((FaultClass::Operator, Reason::HookFailed), |(_, fault)| (fault.class, fault.reason));
    let list: Vec<_> =
        failed.iter().take(TOLD).map(|(host, fault)| format!("{}: {}", host.host, fault.message)).collect();
    let more = failed.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let message = format!("failed on {} of {of} hosts: {}{more}", failed.len(), list.join("; "));
    Err(Fault { class, reason, message })
}
