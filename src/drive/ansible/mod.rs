//! Ansible: the real `ansible-playbook`, over a checkout of the revision in force.
//!
//! * `inventory`: hosts, order, addresses and host keys; `work`: the run's private directory.
//! * `events`: how far it is, and what went wrong, told by a callback plugin beside the output that people read.
//! * `collect`: what the playbook wrote back.
//!
//! Until the program runs nothing has begun, and a fault is transient. From then on every failure waits for a person, for
//! a playbook need not be harmless the second time (PVC's makes a new cluster each time).
//!
//! The repository's `ansible.cfg` counts as it does for a person who stands in the checkout; what must not depend on it
//! is set in the environment, which overrules it.

mod collect;
mod events;
mod inventory;
mod work;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use self::collect::{Baseline, Made};
use self::events::Watch;
use self::inventory::Listed;
use self::work::Work;
use super::generated;
use super::log::Log;
use super::process::{Mark, ProcessError, Run};
use super::task::TaskRun;
use crate::model::{AnsibleTask, Fault, FaultClass, Outcome, Reason, Secret, TaskKind};
use crate::repo;

pub use self::work::sweep;

/// The least time between two reports of progress.
const PACE: Duration = Duration::from_secs(1);
/// Most hosts that are worked on at once: each is a process, and connections besides.
const FORKS: usize = 50;
/// Where Ansible looks for callback plugins by itself.
const CALLBACKS: &str = "~/.ansible/plugins/callback:/usr/share/ansible/plugins/callback";

/// Runs a cluster's playbook for the hosts that it is due for.
pub async fn run(task: &AnsibleTask, run: &TaskRun<'_>) -> Result<Outcome, Fault> {
    let mark = Mark::begin(&run.dir()).map_err(|error| not_begun(&run.dir(), error))?;
    let prepared = prepare(task, run, mark.id()).await?;
    let secrets = secrets(run);
    let mut log = Log::create(&run.dir(), &secrets, (run.clock)()).map_err(|error| not_begun(&run.dir(), error))?;
    log.line(&prepared.headline);
    let mut watch = Watch::open(&prepared.work.path("events")).map_err(|error| not_begun(&run.dir(), error))?;
    let result = watched(prepared.program, &mark, run, &mut log, &mut watch).await;
    let names = prepared.hosts.iter().filter(|host| run.covers.contains_key(&host.id)).map(|host| host.name.as_str());
    let verdict = judge(result, &watch, names, &mut log);
    let outcome = match verdict {
        Ok(()) => keep(&prepared.work, &prepared.baseline, run, &mut log),
        Err(fault) if fault.class == FaultClass::Transient => {
            log.discard();
            return Err(fault);
        }
        Err(fault) => Err(fault),
    };
    if outcome.is_err() {
        match prepared.work.rescue() {
            Ok(Some(place)) => log.line(&format!("what it wrote is kept, and not committed: {}", place.display())),
            Ok(None) => {}
            Err(error) => log.line(&format!("what it wrote could not be kept: {error}")),
        }
    }
    outcome.inspect_err(|fault| log.line(&fault.to_string()))
}

struct Prepared {
    work: Work,
    program: Run,
    hosts: Vec<Listed>,
    baseline: Baseline,
    headline: String,
}

fn not_begun(place: &Path, error: io::Error) -> Fault {
    Fault::transient(Reason::StateDirUnusable, format!("{}: {error}", place.display()))
}

/// Makes the checkout, the inventory and the command. Nothing has begun yet.
async fn prepare(task: &AnsibleTask, run: &TaskRun<'_>, mark: &str) -> Result<Prepared, Fault> {
    let revision = run.world.desired.as_ref().and_then(|desired| desired.revision.clone());
    let revision = revision.ok_or_else(|| Fault::transient(Reason::NoRevision, "no revision is in force"))?;
    let Some(key_file) = &run.settings.deploy.ssh_key else {
        return Err(Fault::operator(Reason::NoDeployKey, "the settings name no deploy.ssh_key"));
    };
    let inventory = repo::inventory::read(&run.git.tree(&revision)?, &mut Vec::new());
    let hosts = inventory::list(task, run, &inventory)?;
    let failed = |error| not_begun(&run.settings.state_dir, error);
    let work = Work::new(&run.settings.state_dir, mark).map_err(failed)?;
    let checkout = work.checkout();
    run.git.checkout(&revision, &checkout).await?;
    let playbook = checkout.join(&task.playbook);
    if !playbook.is_file() {
        let message = format!("there is no playbook `{}` in the repository or its submodules", task.playbook);
        return Err(Fault::operator(Reason::PlaybookMissing, message));
    }
    let dirs = work::written(&run.cluster.name, &task.generated);
    let baseline = Baseline::take(&run.cluster.name, &checkout, dirs).map_err(failed)?;
    lay_over(run, &checkout)?;
    work.note(&baseline).map_err(failed)?;

    let prepare = || -> io::Result<Run> {
        let known_hosts = work.write("known_hosts", &inventory::known_hosts(&hosts))?;
        let ssh = inventory::ssh_options(&known_hosts);
        let observations = inventory::observations(&hosts, key_file, &ssh);
        for dir in [Some(checkout.as_path()), playbook.parent()].into_iter().flatten() {
            inventory::overrule(dir, &observations)?;
        }
        let user = &run.settings.deploy.username;
        let first = inventory::first(run.cluster.name.as_str(), user, &hosts);
        let mut sources = vec![work.write("first.yml", &first.to_string())?];
        sources.extend(inventory.path.as_ref().map(|path| checkout.join(&**path)));
        sources
            .push(work.write("observed.yml", &inventory::last(run.cluster.name.as_str(), &observations).to_string())?);
        let covered = hosts.iter().filter(|host| run.covers.contains_key(&host.id));
        let limit: String = covered.map(|host| format!("{}\n", host.name)).collect();
        let limit = work.write("limit", &limit)?;
        work.write(&format!("plugins/{}", events::PLUGIN_NAME), events::PLUGIN)?;
        let mut program = Run::new(&run.settings.ansible.playbook).arg(&task.playbook).cwd(&checkout);
        for source in sources {
            program = program.arg("-i").arg(source);
        }
        program = program.arg("--limit").arg(at(&limit));
        program = program.arg("--forks").arg(run.covers.len().clamp(1, FORKS).to_string());
        if run.do_bootstrap {
            // A boolean: the text "yes" is an error for ansible-core 2.19, and "no" is true for those before it.
            let vars = work.write("vars.json", &json!({ "do_bootstrap": true }).to_string())?;
            program = program.arg("-e").arg(at(&vars));
        }
        program = program.args(run.settings.ansible.vault_arguments());
        Ok(environment(program, &work, &ssh))
    };
    let limit = run.task.time_limit.unwrap_or(run.settings.ansible.timeout);
    let program = prepare().map_err(failed)?.time_limit(limit);
    let names: Vec<&str> = run.covers.keys().map(|id| &*id.host).take(20).collect();
    let bootstrap = if run.do_bootstrap { ", making the cluster anew (do_bootstrap)" } else { "" };
    let headline = format!(
        "{} at {}, for {} of {} hosts ({}){bootstrap}",
        task.playbook,
        revision.short(),
        run.covers.len(),
        hosts.len(),
        names.join(" ")
    );
    Ok(Prepared { work, program, hosts, baseline, headline })
}

fn at(path: &Path) -> OsString {
    let mut argument = OsString::from("@");
    argument.push(path);
    argument
}

/// What an earlier run wrote, and what is not on the watched branch yet, belongs to the repository as far as this run is
/// concerned: a host that is added needs the keys of the cluster. It counts as written by this run too, so that nothing
/// is lost when this run's copy takes the place of that one's.
fn lay_over(run: &TaskRun<'_>, checkout: &Path) -> Result<(), Fault> {
    let kept = run.world.clusters.get(&run.cluster.name).and_then(|facts| facts.generated.as_ref());
    let Some(kept) = kept else { return Ok(()) };
    let files = generated::read(&run.settings.state_dir, &run.cluster.name, &kept.id)?;
    collect::lay(checkout, &files).map_err(|error| not_begun(checkout, error))
}

/// What must not depend on the repository's or anybody's `ansible.cfg`.
fn environment(program: Run, work: &Work, ssh: &str) -> Run {
    let plugins = format!("{}:{CALLBACKS}", work.path("plugins").display());
    let ssh_args = format!("-C -o ControlMaster=auto -o ControlPersist=60s {ssh}");
    program
        // ansible-core 2.14 and later refuse to start in a locale that is not UTF-8.
        .env("LANG", "C.UTF-8")
        .env("LC_ALL", "C.UTF-8")
        .env("RACKWRIGHT_EVENTS", work.path("events"))
        .env("ANSIBLE_CALLBACK_PLUGINS", plugins)
        .env("ANSIBLE_FORCE_COLOR", "0")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_HOST_KEY_CHECKING", "True")
        .env("ANSIBLE_SSH_ARGS", ssh_args)
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", work.sockets())
        .env("ANSIBLE_LOCAL_TEMP", work.path("tmp"))
        .env("TMPDIR", work.path("tmp"))
        // Its own log would hold what is masked in ours.
        .env("ANSIBLE_LOG_PATH", "/dev/null")
        .env("ANSIBLE_RETRY_FILES_ENABLED", "0")
        .env("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1")
        .env("ANSIBLE_ASK_PASS", "0")
        .env("ANSIBLE_BECOME_ASK_PASS", "0")
        .env("ANSIBLE_ASK_VAULT_PASS", "0")
}

/// Runs it to its end: what it says goes into the log, how far it is to whoever looks.
async fn watched(
    program: Run,
    mark: &Mark,
    run: &TaskRun<'_>,
    log: &mut Log,
    watch: &mut Watch,
) -> Result<Option<i32>, ProcessError> {
    let stream = program.stream(mark, |stream, piece| log.write(stream, piece));
    tokio::pin!(stream);
    let (mut next, mut listening) = (Instant::now(), true);
    let result = loop {
        let wait = tokio::time::sleep_until(next);
        let has_news = watch.story.has_news();
        tokio::select! {
            result = &mut stream => break result,
            () = wait, if has_news => {
                next = Instant::now() + PACE;
                if let Some(news) = watch.story.news() {
                    run.tell(news).await;
                }
            }
            more = watch.more(), if listening => listening = more.is_ok(),
        }
    };
    watch.rest();
    result
}

/// What the end of `ansible-playbook` means. Its exit status: 0 all well, 1 an error of its own, 2 hosts failed, 4 hosts
/// could not be reached or a file could not be read, 5 wrong options, 99 interrupted, 250 an unexpected error.
fn judge<'n>(
    result: Result<Option<i32>, ProcessError>,
    watch: &Watch,
    names: impl Iterator<Item = &'n str>,
    log: &mut Log,
) -> Result<(), Fault> {
    let place = log.path().display().to_string();
    let troubles = watch.story.troubles().map(|told| log.mask(&told));
    match result {
        Ok(Some(0)) => {
            let untouched = watch.story.untouched(names);
            if untouched.is_empty() {
                return Ok(());
            }
            let names: Vec<_> = untouched.into_iter().take(10).collect();
            let message = format!("the playbook has no play for {}; log: {place}", names.join(", "));
            Err(Fault::operator(Reason::AnsibleFailed, message))
        }
        Ok(status) => {
            let ended = match status {
                Some(status) => format!("exit status {status}"),
                None => "ended by a signal".to_owned(),
            };
            // As ansible-core before 2.19 says it, and since.
            let error = |line: &str| line.starts_with("ERROR!") || line.starts_with("[ERROR]:");
            let told = troubles.or_else(|| log.find(error)).unwrap_or_else(|| log.tail(3));
            Err(Fault::operator(Reason::AnsibleFailed, format!("{told}; {ended}; log: {place}")))
        }
        Err(ProcessError::TimedOut(_, limit)) => {
            let at = &watch.story.progress;
            let at = log.mask(&format!("in play `{}`, task `{}`", at.play, at.task));
            let told = troubles.map(|told| format!("; before that: {told}")).unwrap_or_default();
            let message = format!("stopped after {} s {at}{told}; log: {place}", limit.as_secs());
            Err(Fault::operator(Reason::AnsibleTimedOut, message))
        }
        Err(error @ (ProcessError::NotFound(_) | ProcessError::Start(..))) => {
            Err(Fault::transient(Reason::AnsibleMissing, error.to_string()))
        }
        Err(error) => Err(Fault::operator(Reason::AnsibleFailed, format!("{error}; log: {place}"))),
    }
}

/// Keeps what the playbook wrote until it is committed.
fn keep(work: &Work, baseline: &Baseline, run: &TaskRun<'_>, log: &mut Log) -> Result<Outcome, Fault> {
    let failed = |error: io::Error| {
        Fault::operator(
            Reason::GeneratedNotKept,
            format!("the playbook went well, but what it wrote cannot be kept: {error}"),
        )
    };
    let Made { files, left_out } = baseline.changes(&work.checkout()).map_err(failed)?;
    if !left_out.is_empty() {
        log.line(&format!("not kept, for they are no files: {}", left_out.join(" ")));
    }
    if files.is_empty() {
        work.safe();
        return Ok(Outcome::Configured { generated: None });
    }
    let id = generated::keep(&run.settings.state_dir, &run.cluster.name, &files).map_err(failed)?;
    work.safe();
    log.line(&format!("kept until they are committed: {}", files.keys().cloned().collect::<Vec<_>>().join(" ")));
    Ok(Outcome::Configured { generated: Some(id) })
}

/// What must not be in the log: what we know of it. What a playbook decrypts by itself it must hide by itself (`no_log`).
fn secrets(run: &TaskRun<'_>) -> Vec<Secret> {
    let hosts = || run.world.desired.iter().flat_map(|desired| desired.hosts_of(&run.cluster.name));
    let accounts = hosts().flat_map(|host| host.bmc.credentials.iter().map(|account| account.password.clone()));
    let attributes = hosts().flat_map(|host| host.prepare.bios.iter().chain(&host.prepare.manager));
    // Most of them are words such as `Enabled`.
    let sealed = |name: &str| ["pass", "secret", "key"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    let attributes = attributes.filter(|(name, _)| sealed(name)).map(|(_, value)| value.clone());
    let ansible = &run.settings.ansible;
    let files = ansible.vault_password_file.iter().chain(ansible.vault_ids.iter().map(|(_, file)| file));
    let files = files.filter_map(|file| std::fs::read_to_string(file).ok()).map(Secret::new);
    let hooks = run.cluster.tasks.iter().filter_map(|task| match &task.kind {
        TaskKind::Hook(hook) => Some(&hook.secrets),
        TaskKind::Ansible(_) => None,
    });
    accounts.chain(attributes).chain(hooks.flatten().cloned()).chain(files).collect()
}
