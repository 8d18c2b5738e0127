//! Hooks on hosts that are one `sshd` at three addresses: 127.0.0.1 is `hv1`, and so on; `hv4` is nobody.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::JournalFact;
use rackwright::drive::git::Git;
use rackwright::drive::hook;
use rackwright::drive::task::TaskRun;
use rackwright::model::*;
use rackwright::settings::Settings;
use serde_json::{Value, json};

use crate::rig::net::{NOW, cluster, host, installed, now, settings, world};
use crate::rig::ssh::{Sshd, user};

/// What was told of targets.
pub type Told = Arc<Mutex<Vec<(String, Result<(), Fault>)>>>;

pub struct Rig {
    pub sshd: Sshd,
    pub settings: Settings,
    pub world: World,
    pub cluster: ClusterSpec,
    pub told: Told,
    git: Git,
}

impl Rig {
    pub fn new() -> Option<Rig> {
        let sshd = Sshd::start()?;
        let mut settings = settings(Ipv4Addr::LOCALHOST, None);
        settings.state_dir = sshd.path("state");
        settings.deploy.username = user();
        settings.deploy.ssh_key = Some(sshd.path("user"));
        settings.deploy.ssh_port = sshd.port;
        fs::create_dir(sshd.path("out")).unwrap();
        fs::create_dir(&settings.state_dir).unwrap();
        let git = Git::at(&settings.repository, &settings.state_dir).unwrap();
        let hosts = (1..=4).map(host).collect();
        let mut rig = Rig { sshd, settings, world: world(Vec::new()), cluster: cluster(), told: Told::default(), git };
        rig.inhabit(hosts);
        Some(rig)
    }

    /// Makes these the hosts, in their order at 127.0.0.1 and so on, all with their host key known.
    pub fn inhabit(&mut self, hosts: Vec<HostSpec>) {
        let known = |(index, spec): (usize, HostSpec)| {
            let mut facts = installed(1);
            let last = if index < 3 { index as u8 + 1 } else { 99 };
            facts.host_seen = Some((Ipv4Addr::new(127, 0, 0, last).into(), NOW));
            let token = &facts.installed.as_ref().unwrap().token;
            facts.ssh.key = Some(OfInstall::new(token, self.sshd.public("host")));
            (spec, facts)
        };
        self.world = world(hosts.into_iter().enumerate().map(known).collect());
        let mut policy = (*self.world.policy).clone();
        policy.site.leases_are_ours = false;
        self.world.policy = Arc::new(policy);
    }

    /// A directory for what hooks leave on purpose.
    pub fn out(&self, name: &str) -> PathBuf {
        self.sshd.path("out").join(name)
    }

    /// What a hook wrote there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.out(name)).unwrap_or_default()
    }

    /// Runs a task for all its targets.
    pub async fn run(&self, task: &TaskSpec) -> Result<Outcome, Fault> {
        let own = PathBuf::from(env!("CARGO_BIN_EXE_rackwright"));
        let told = self.told.clone();
        let tell: JournalFact = Arc::new(move |event| {
            if let Event::TaskTold { news: TaskNews::Target { host, result }, .. } = event {
                told.lock().unwrap().push((host.host.to_string(), result));
            }
            Box::pin(async {})
        });
        let token = |id: &HostId| self.world.hosts[id].installed.as_ref().unwrap().token.clone();
        let covers: BTreeMap<HostId, TokenId> = task.targets.iter().map(|id| (id.clone(), token(id))).collect();
        let TaskKind::Hook(hook) = &task.kind else { panic!("not a hook") };
        let run = TaskRun {
            settings: &self.settings,
            git: &self.git,
            world: &self.world,
            cluster: &self.cluster,
            task,
            covers: &covers,
            do_bootstrap: false,
            tell: &tell,
            clock: now,
        };
        hook::run(&own, hook, &run).await
    }

    /// The names and successes that were told.
    pub fn told(&self) -> Vec<(String, bool)> {
        self.told.lock().unwrap().iter().map(|(name, result)| (name.clone(), result.is_ok())).collect()
    }

    /// All logs of a task.
    pub fn log(&self, task: &TaskSpec) -> String {
        let dir = rackwright::drive::task::dir(&self.settings.state_dir, &self.cluster.name, &task.id);
        let mut logs: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        logs.sort();
        logs.retain(|path| path.is_file());
        logs.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

/// A hook with this program, for `hv1`, not to be run twice, with a minute.
pub fn task(program: &str, args: Value) -> TaskSpec {
    TaskSpec {
        id: TaskId::new("hook-1"),
        name: "the hook".into(),
        kind: TaskKind::Hook(HookTask {
            program: Arc::new(HookProgram {
                name: "own".into(),
                scope: Scope::Each,
                place: Place::Host,
                ready: None,
                run: Arc::from(program.as_bytes()),
            }),
            args: Secret::new(args.to_string()),
            secrets: Vec::new(),
            files: Vec::new(),
            sudo: false,
        }),
        targets: [crate::rig::net::host_id("hv1")].into(),
        idempotent: false,
        rerun: Rerun::OnReinstall,
        on_failure: OnFailure::Stop,
        time_limit: Some(Duration::from_secs(60)),
        definition: Digest::new("d"),
        blocked: None,
    }
}

/// Likewise, for these hosts.
pub fn on(hosts: &[&str], program: &str) -> TaskSpec {
    TaskSpec { targets: hosts.iter().map(|name| crate::rig::net::host_id(name)).collect(), ..task(program, json!({})) }
}

/// Changes the hook of a task.
pub fn with(mut task: TaskSpec, change: impl FnOnce(&mut HookTask, &mut HookProgram)) -> TaskSpec {
    if let TaskKind::Hook(hook) = &mut task.kind {
        let mut program = (*hook.program).clone();
        change(hook, &mut program);
        hook.program = Arc::new(program);
    }
    task
}
