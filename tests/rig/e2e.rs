//! A stage of its own for every end-to-end test: the real program as a child process, real sockets, a repository that
//! is pushed to with git, and simulated machines in this process. Everything dies with the rig.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::cli::demo::racks;
use rackwright::cli::demo::stage::{Stage, port};
use rackwright::model::Desired;
use rackwright::settings;
use rackwright::sim::machine::{MachineEvent, Override, Stage as At, Timings};
use rackwright::sim::rack::{MachineView, Rack, RackConfig, RackMachine};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::e2e::http::{self, Reply};
use crate::e2e::status::{self, Status};
use crate::rig::schema;

/// The longest wait for anything. Far more than anything takes on an idle machine: tests run beside each other.
const PATIENCE: Duration = Duration::from_secs(100);
/// Between two looks of a wait.
const LOOK: Duration = Duration::from_millis(40);
/// How soon a daemon must have ended after SIGTERM.
const GRACE: Duration = Duration::from_secs(8);

/// Everything that one test needs.
pub struct Rig {
    pub stage: Stage,
    /// What the repository says, or will say at the next push.
    pub files: BTreeMap<String, String>,
    pub sink: http::Sink,
    rack: Option<Rack>,
    daemon: Mutex<Option<Child>>,
    /// Environment variables of the daemon, besides ours.
    pub env: BTreeMap<String, String>,
    /// A daemon was killed: what it was about to tidy up is left as it was.
    killed: bool,
    config: PathBuf,
    _dir: tempfile::TempDir,
}

/// The program under test.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Simulated machines that are as quick as they can be.
pub fn hasty() -> Timings {
    let ms = Duration::from_millis;
    Timings { post: ms(20), live_boot: ms(50), write: ms(200), os_boot: ms(30), settle: ms(30), ..Timings::quick() }
}

/// Machines that take so long to install that something else can happen meanwhile, and whose first boot is so slow
/// that no daemon can be down during all of it.
pub fn slow() -> Timings {
    Timings { write: Duration::from_secs(4), settle: Duration::from_secs(3), ..hasty() }
}

/// The second machine takes far longer than the first: on a busy machine too, there is time for something to happen
/// while it is installed.
pub fn second_takes_long(machines: &mut [RackMachine]) {
    machines[1].machine.timings.write = Duration::from_secs(10);
}

/// Somebody chose a network boot in the firmware's menu.
pub fn network_boot() -> MachineEvent {
    MachineEvent::SetOverride(Some(Override { network: true, once: true }))
}

impl Rig {
    /// A stage with a repository of one cluster of `hosts` hosts, which is not pushed yet. Nothing runs.
    pub async fn new(hosts: u32) -> Rig {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let first = (std::process::id() as u8).wrapping_mul(16).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix("rackwright-e2e-").tempdir().unwrap();
        let stage = Stage::new(dir.path(), first).await.unwrap();
        let config = stage.write_settings("").unwrap();
        // The demo's deadlines suit an idle machine; here a deadline that passes would be a false alarm.
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("boot_timeout: 8s", "boot_timeout: 40s");
        let text = text.replace("install_timeout: 8s", "install_timeout: 40s");
        std::fs::write(&config, text).unwrap();
        let files = racks::generated(&stage, hosts, 1);
        let sink = http::Sink::start(SocketAddrV4::new(stage.sink(), port::SINK)).await;
        Rig {
            stage,
            files,
            sink,
            rack: None,
            daemon: Mutex::new(None),
            env: BTreeMap::new(),
            killed: false,
            config,
            _dir: dir,
        }
    }

    /// A rig whose cluster is completed: pushed, installed, configured, published.
    pub async fn completed(hosts: u32) -> Rig {
        let mut rig = Rig::new(hosts).await;
        rig.start(&["--first-run"]).await;
        rig.machines(hasty(), |_| {}).await;
        rig.push("Define the cluster").await;
        rig.until_completed().await;
        rig
    }

    /// What the daemon reads of the repository as it is now.
    pub fn desired(&self) -> Arc<Desired> {
        racks::read(&self.files, &settings::load(&self.config).unwrap()).unwrap()
    }

    /// Starts a machine for every host of the repository, as `tweak` wants them, and presses the power buttons that
    /// no BMC presses.
    pub async fn machines(&mut self, timings: Timings, tweak: impl FnOnce(&mut Vec<RackMachine>)) {
        let mut machines = racks::machines(&self.desired(), &[], &timings);
        tweak(&mut machines);
        let by_hand = machines.iter().filter(|it| it.bmc.is_none()).map(|it| it.machine.name.clone());
        let by_hand: Vec<_> = by_hand.collect();
        let rack = Rack::start(RackConfig {
            dhcp: SocketAddrV4::new(self.stage.server(), port::DHCP),
            relay: self.stage.relay(),
            tftp_port: port::TFTP,
            bmc_port: port::BMC,
            machines,
        });
        let rack = rack.await.unwrap();
        for name in by_hand {
            assert!(rack.power_button(&name).await);
        }
        self.rack = Some(rack);
    }

    /// The machines.
    pub fn rack(&self) -> &Rack {
        self.rack.as_ref().expect("machines that were started")
    }

    /// What can be seen of one machine.
    pub fn machine(&self, name: &str) -> MachineView {
        self.rack().machines().into_iter().find(|view| view.name == name).expect("a machine of this rack")
    }

    /// How often each machine's disk was wiped, in name order.
    pub fn wipes(&self) -> Vec<usize> {
        self.rack().machines().iter().map(|view| view.wipes.len()).collect()
    }

    /// Commits and pushes `files`.
    pub async fn push(&self, subject: &str) {
        self.stage.push(&self.files, subject).await.unwrap();
    }

    /// Changes the cluster's definition in `files`; the text must be there.
    pub fn edit(&mut self, from: &str, to: &str) {
        let text = self.files.get_mut("group_vars/cluster1/bootstrap.yml").expect("the cluster's definition");
        assert!(text.contains(from), "{from} is not in {text}");
        *text = text.replace(from, to);
    }

    /// The command that starts a daemon on this stage.
    pub fn run(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(["run", "--config"]).arg(&self.config).args(args).env("NO_COLOR", "1").envs(&self.env);
        command
    }

    /// Starts the daemon and waits until it is ready.
    pub async fn start(&mut self, args: &[&str]) {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.run(args);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        *self.daemon.lock().unwrap() = Some(command.spawn().unwrap());
        let ready = async || matches!(self.ask("/readyz").await, Some(reply) if reply.code == 200);
        self.until("the daemon is ready", ready).await;
    }

    fn log(&self) -> PathBuf {
        self.stage.dir.join("daemon.log")
    }

    /// Everything that the daemons of this rig have logged.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// SIGTERM; gives how the daemon ended.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut child = self.daemon.lock().unwrap().take().expect("a running daemon");
        let pid = Pid::from_raw(child.id().expect("a running daemon") as i32).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        timeout(GRACE, child.wait()).await.expect("the daemon ends soon after SIGTERM").unwrap()
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        let mut child = self.daemon.lock().unwrap().take().expect("a running daemon");
        child.kill().await.unwrap();
        self.killed = true;
    }

    /// A GET of the daemon, from its own address; `None` when nobody answers.
    pub async fn ask(&self, path: &str) -> Option<Reply> {
        http::get(self.stage.server(), self.http(), path).await.ok()
    }

    /// Where HTTP is served.
    pub fn http(&self) -> SocketAddr {
        (self.stage.server(), port::HTTP).into()
    }

    /// A GET of the API.
    pub async fn api(&self, path: &str) -> serde_json::Value {
        let Some(reply) = self.ask(&format!("/api/v1/{path}")).await else { return Default::default() };
        let answer = reply.json();
        if reply.code == 200 {
            schema::check(&format!("/api/v1/{}", path.split('?').next().unwrap()), &answer);
        }
        answer
    }

    /// A GET by a machine, from its address.
    pub async fn get_as(&self, source: Ipv4Addr, path: &str) -> Reply {
        http::get(source, self.http(), path).await.unwrap()
    }

    /// The status branch, once it exists.
    pub fn status(&self) -> Option<Status> {
        Status::read(&self.stage.repository())
    }

    /// Waits until something holds, as long as the daemon runs.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            if let Some(child) = self.daemon.lock().unwrap().as_mut() {
                let ended = child.try_wait().unwrap();
                assert!(ended.is_none(), "the daemon ended ({ended:?}) before {what}");
            }
            if Instant::now() > deadline {
                let status = self.status().map(|status| status.files).unwrap_or_default();
                let rack = self.rack.as_ref().map(Rack::machines);
                panic!("not in time: {what}\n{}\n{rack:#?}", status.get("README.md").map_or("", String::as_str));
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the status branch says so.
    pub async fn until_status(&self, what: &str, mut holds: impl FnMut(&Status) -> bool) -> Status {
        let mut found = None;
        let look = async || {
            found = self.status().filter(|status| holds(status));
            found.is_some()
        };
        self.until(what, look).await;
        found.expect("what was waited for")
    }

    /// Waits until the machines are so.
    pub async fn until_rack(&self, what: &str, mut holds: impl FnMut(&[MachineView]) -> bool) {
        self.until(what, async || holds(&self.rack().machines())).await;
    }

    /// Waits until the status branch says that all hosts of the repository are completed at their generation, and the
    /// machines have come to rest.
    pub async fn until_completed(&self) -> Status {
        let desired = self.desired();
        let at_rest =
            |view: &MachineView| matches!(view.stage, At::Off | At::Running) && (self.killed || view.sessions == 0);
        let status = self.until_status("all is completed", |status| {
            let done = |name: String, wanted| {
                let host = status.host(&name);
                host.is_some_and(|it| it.is_done() && it.0.generation.installed == Some(wanted))
            };
            desired.hosts.values().all(|spec| done(spec.id.to_string(), spec.generation))
                && desired.clusters.keys().all(|name| status.cluster_is_completed(name.as_str()))
        });
        let status = status.await;
        self.until_rack("the machines are at rest", |machines| machines.iter().all(at_rest)).await;
        status
    }

    /// Looks on for a while during which neither machines nor status branch may change; gives the status.
    pub async fn stays_as_it_is(&self) -> Status {
        let (status, machines) = (self.status(), self.rack().machines());
        let end = Instant::now() + Duration::from_millis(1_500);
        while Instant::now() < end {
            sleep(LOOK).await;
            assert_eq!(self.rack().machines(), machines, "a machine did something");
        }
        let later = self.status();
        assert_eq!(later, status, "the status branch moved");
        later.expect("a status branch")
    }

    /// Stops the daemon and checks the status branch's history, and that no token ever left the daemon.
    pub async fn check_history(&mut self) -> Vec<status::Commit> {
        assert_eq!(self.stop().await.code(), Some(0), "a clean stop");
        let history = status::check_history(&self.stage).await;
        let repository = self.stage.repository();
        let everything = self.stage.git(&repository, &["log", "-p", "rackwright/status"]).await.unwrap();
        let logged = self.logged();
        for token in self.rack.iter().flat_map(Rack::machines).flat_map(|view| view.wipes).flatten() {
            assert!(!everything.contains(&token), "the token {token} is on the status branch");
            assert!(!logged.contains(&token), "the token {token} is in the log");
        }
        history
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.logged());
        }
    }
}
