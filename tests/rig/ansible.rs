//! Playbooks on hosts that are one `sshd` at three addresses: 127.0.0.1 is `hv1`, and so on; with the real Ansible.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::JournalFact;
use rackwright::drive::ansible;
use rackwright::drive::git::Git;
use rackwright::drive::task::TaskRun;
use rackwright::model::*;
use rackwright::settings::Settings;

use crate::rig::git;
use crate::rig::net::{NOW, cluster, host, host_id, installed, now, settings, world};
use crate::rig::ssh::{Sshd, user};

pub struct Rig {
    pub forge: git::Rig,
    pub sshd: Sshd,
    pub settings: Settings,
    pub world: World,
    pub task: TaskSpec,
    pub told: Arc<Mutex<Vec<Progress>>>,
    git: Git,
}

impl Rig {
    /// Three hosts that are up, their keys known, and a repository with an inventory of them; `None`, with a word on the
    /// output, where there is no Ansible or no `sshd`.
    pub fn new() -> Option<Rig> {
        if !Command::new("ansible-playbook").arg("--version").output().is_ok_and(|it| it.status.success()) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "Ansible is missing (Debian package ansible-core)");
            println!("SKIPPED no ansible-playbook (Debian package ansible-core)");
            return None;
        }
        let sshd = Sshd::start()?;
        let forge = git::Rig::new();
        let mut settings = settings(Ipv4Addr::LOCALHOST, None);
        settings.repository = forge.repository();
        settings.state_dir = forge.state();
        settings.deploy.username = user();
        settings.deploy.ssh_key = Some(sshd.path("user"));
        settings.deploy.ssh_port = sshd.port;
        settings.ansible.timeout = Duration::from_secs(120);
        let git = forge.open();
        let known = |number: u64| {
            let mut facts = installed(1);
            facts.host_seen = Some((Ipv4Addr::new(127, 0, 0, number as u8).into(), NOW));
            facts.ssh.key = Some(OfInstall::new(&facts.installed.as_ref().unwrap().token, sshd.public("host")));
            (host(number), facts)
        };
        let world = world((1..=3).map(known).collect());
        let rig = Rig { forge, sshd, settings, world, task: task(), told: Arc::default(), git };
        rig.file("hosts", "[cluster1]\nhv1.example.net\nhv2.example.net\nhv3.example.net\n");
        Some(rig)
    }

    /// Puts a file into the repository.
    pub fn file(&self, path: &str, text: &str) {
        self.forge.commit(path, text, path);
    }

    /// The driver's part of the task.
    pub fn ansible(&mut self) -> &mut AnsibleTask {
        match &mut self.task.kind {
            TaskKind::Ansible(task) => task,
            TaskKind::Hook(_) => panic!("not Ansible"),
        }
    }

    /// Brings what was put into the repository into force.
    pub async fn push(&mut self) -> Revision {
        self.forge.push("main");
        let revision = self.git.fetch().await.unwrap();
        Arc::make_mut(self.world.desired.as_mut().unwrap()).revision = Some(revision.clone());
        revision
    }

    /// Runs this as the playbook, for all hosts, anew.
    pub async fn play(&mut self, playbook: &str) -> Result<Outcome, Fault> {
        self.file("pvc.yml", playbook);
        self.push().await;
        self.run(&["hv1", "hv2", "hv3"], true).await
    }

    /// Runs the playbook for some hosts.
    pub async fn run(&self, names: &[&str], do_bootstrap: bool) -> Result<Outcome, Fault> {
        let told = self.told.clone();
        let tell: JournalFact = Arc::new(move |event| {
            if let Event::TaskTold { news: TaskNews::Progress(progress), .. } = event {
                told.lock().unwrap().push(progress);
            }
            Box::pin(async {})
        });
        let token = |id: &HostId| self.world.hosts[id].installed.as_ref().unwrap().token.clone();
        let covers: BTreeMap<HostId, TokenId> =
            names.iter().map(|name| host_id(name)).map(|id| (id.clone(), token(&id))).collect();
        let TaskKind::Ansible(task) = &self.task.kind else { panic!("not Ansible") };
        let cluster = cluster();
        let run = TaskRun {
            settings: &self.settings,
            git: &self.git,
            world: &self.world,
            cluster: &cluster,
            task: &self.task,
            covers: &covers,
            do_bootstrap,
            tell: &tell,
            clock: now,
        };
        ansible::run(task, &run).await
    }

    /// The task's directory.
    pub fn dir(&self) -> PathBuf {
        self.settings.state_dir.join("runs/cluster1/ansible")
    }

    /// All its logs.
    pub fn log(&self) -> String {
        let mut logs: Vec<_> = fs::read_dir(self.dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort();
        logs.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// A path for what playbooks leave on purpose.
    pub fn out(&self, name: &str) -> PathBuf {
        self.forge.dir.path().join(name)
    }

    /// What a playbook left there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.out(name)).unwrap_or_default()
    }

    /// Nothing of a run is left: no private directory, no mark, no process with a file of it.
    pub fn assert_clean(&self) {
        let work = self.settings.state_dir.join("work");
        assert_eq!(fs::read_dir(work).unwrap().count(), 0, "the private directory is left");
        assert!(!self.dir().join("running").exists(), "the mark is left");
        assert_eq!(masters(&self.settings.state_dir), Vec::<String>::new(), "a shared connection is left");
    }
}

/// Command lines that speak of the state directory: OpenSSH's masters of shared connections do.
fn masters(state_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let lines = entries.filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains(state_dir.to_str().unwrap())).collect()
}

fn task() -> TaskSpec {
    let targets: std::collections::BTreeSet<HostId> = (1..=3).map(|n| host_id(&format!("hv{n}"))).collect();
    TaskSpec {
        id: TaskId::new("ansible"),
        name: "ansible".into(),
        kind: TaskKind::Ansible(AnsibleTask {
            playbook: "pvc.yml".into(),
            reboots: false,
            order: targets.iter().cloned().collect(),
            generated: "files/group1".into(),
            encrypt_generated: false,
        }),
        targets,
        idempotent: false,
        rerun: Rerun::OnReinstall,
        on_failure: OnFailure::Stop,
        time_limit: None,
        definition: Digest::new("d"),
        blocked: None,
    }
}
