//! A rig with real firmware: QEMU machines in a network namespace of the test's own, the real program as a child
//! process, a repository that is pushed to with git.
//!
//! A test runs itself once more inside its namespaces ([`within`]).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rackwright::cli::demo::stage::Stage;
use rackwright::cli::demo::vms::machine::VmView;
use rackwright::cli::demo::vms::rack::{self, VmRack};
use rackwright::cli::demo::vms::site::{self, Make};
use rackwright::cli::demo::vms::{ground, need, tail};
use rackwright::sim::machine::Power;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::e2e::alone::{alone, is_inside};
use crate::e2e::http;
use crate::e2e::status::Status;
use crate::rig::e2e::program;
use crate::rig::progress::Progress;

/// Where a kernel package is unpacked.
const KERNEL: &str = "RACKWRIGHT_VM_KERNEL";
/// Between two looks of a wait.
const LOOK: Duration = Duration::from_millis(100);
/// How long a whole test may take, however well it gets on: longer than any that did was seen to need.
const LIMIT: Duration = Duration::from_secs(1200);

/// The kernel that the machines boot.
pub fn kernel() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vm/kernel");
    match std::env::var_os(KERNEL) {
        Some(dir) => dir.into(),
        None if unpacked.exists() => unpacked,
        None => "/".into(),
    }
}

/// Whether machines with real firmware can be had here; a test that cannot run says so, and in CI fails.
pub fn possible(test: &str) -> bool {
    match need::check(&kernel()) {
        Ok(()) => true,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} cannot run: {error:#}");
            // To where it is seen although the test passes.
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {error:#}");
            false
        }
    }
}

/// Plays a scenario in namespaces of its own, if machines can be had here.
pub fn within(test: &str, scenario: impl Future<Output = ()>) {
    if is_inside() || possible(test) {
        alone(test, LIMIT, scenario);
    }
}

/// Everything that one scenario needs.
pub struct VmRig {
    pub stage: Stage,
    pub files: BTreeMap<String, String>,
    pub rack: VmRack,
    config: PathBuf,
    daemon: Child,
    tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl VmRig {
    /// Machines that are off, BMCs that have come up, a daemon that has seen an empty repository. Each `tweak` replaces
    /// a text of the settings by another; `lay` may change the network before anything runs in it.
    pub async fn new(makes: &[Make], tweaks: &[(&str, &str)], lay: impl AsyncFnOnce()) -> VmRig {
        let dir = tempfile::Builder::new().prefix("rackwright-vm-").tempdir().unwrap();
        let stage = Stage::alone(dir.path()).await.unwrap();
        let specs = site::machines(&stage.dir, makes);
        let bmcs: Vec<_> = specs.iter().enumerate().map(|(i, spec)| (i, spec.bmc.as_ref().unwrap().1)).collect();
        ground::lay(site::SERVER, specs.len(), &bmcs).await.unwrap();
        lay().await;
        site::media(&stage.dir.join("tftp"), &kernel()).await.unwrap();
        let config = site::write_settings(&stage).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        let tweaked = tweaks.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{from} is not in {text}");
            text.replace(from, to)
        });
        std::fs::write(&config, tweaked).unwrap();
        let nothing = BTreeMap::from([("clusters.yml".to_owned(), "clusters: []\n".to_owned())]);
        stage.push(&nothing, "An empty rack").await.unwrap();
        let log = std::fs::File::create(stage.dir.join("daemon.log")).unwrap();
        let mut command = program();
        command.args(["run", "--first-run", "--config"]).arg(&config).env("NO_COLOR", "1");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = command.spawn().unwrap();
        let rack = VmRack::start(&stage.dir, specs).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { ground::advertise(ground::BRIDGE).await.unwrap() });
        let files = site::files(makes, "none");
        let mut rig = VmRig { stage, files, rack, config, daemon, tasks, _dir: dir };
        rig.until_rack("the BMCs have addresses", |all| all.iter().all(|machine| machine.bmc_ip.is_some())).await;
        rig
    }

    /// Commits and pushes `files`.
    pub async fn push(&self, subject: &str) {
        self.stage.push(&self.files, subject).await.unwrap();
    }

    /// A GET of the API.
    pub async fn api(&self, path: &str) -> serde_json::Value {
        let at = SocketAddr::from((site::SERVER, 9999));
        let reply = http::get(site::SERVER, at, &format!("/api/v1/{path}")).await;
        reply.map(|reply| reply.json()).unwrap_or_default()
    }

    /// Waits until something holds, as long as the daemon runs, every machine can, and one of them gets on.
    pub async fn until(&mut self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let mut progress = Progress::new();
        while !holds(self).await {
            let ended = self.daemon.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended ({ended:?}) before {what}");
            for machine in self.rack.machines() {
                assert_eq!(machine.trouble, None, "{} cannot run", machine.name);
                progress.look(&machine.name, &machine.serial);
            }
            assert_eq!(progress.stuck(), None, "not yet: {what}");
            sleep(LOOK).await;
        }
    }

    /// Waits until the machines are so.
    pub async fn until_rack(&mut self, what: &str, mut holds: impl FnMut(&[VmView]) -> bool) {
        self.until(what, async |rig| holds(&rig.rack.machines())).await;
    }

    /// Announces routers on one more segment.
    pub fn advertise(&mut self, bridge: &'static str) {
        self.tasks.spawn(async move { ground::advertise(bridge).await.unwrap() });
    }

    /// The status branch, once it exists.
    pub fn status(&self) -> Option<Status> {
        Status::read(&self.stage.repository())
    }

    /// Waits until the status branch says that every host is completed.
    pub async fn until_completed(&mut self) -> Status {
        let mut found = None;
        let look = async |rig: &Self| {
            found = rig.status();
            let wanted = rig.rack.machines().len();
            found.as_ref().is_some_and(|status| {
                status.hosts().len() == wanted
                    && status.cluster_is_completed("vms")
                    && rig.rack.machines().iter().all(|it| status.host(&it.name).is_some_and(|host| host.is_done()))
            })
        };
        self.until("all is completed", look).await;
        found.expect("what was waited for")
    }

    /// What can be seen of one machine.
    pub fn machine(&self, name: &str) -> VmView {
        self.rack.machines().into_iter().find(|view| view.name == name).expect("a machine of this rack")
    }

    /// Everything that a machine said on its serial port.
    pub fn serial(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.machine(name).serial).unwrap()).into_owned()
    }

    /// How often the installed system of a machine has come up and reported that.
    pub fn disk_boots(&self, name: &str) -> usize {
        self.serial(name).matches("system-boot_initial from").count()
    }

    /// How many installs a machine's disk has seen.
    pub fn installs(&self, name: &str) -> Option<String> {
        rack::disk_note(&self.machine(name).disk).unwrap().remove("installs")
    }

    /// Presses a button.
    pub async fn power(&self, name: &str, power: Power) {
        assert!(self.rack.power(name, power).await);
    }

    /// What `rackwright explain` says.
    pub fn explain(&self, name: &str) -> String {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rackwright"));
        command.args(["explain", name, "--url", &format!("http://{}:9999", site::SERVER)]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

impl Drop for VmRig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for machine in self.rack.machines() {
                println!("--- {machine:?}\n{}", tail(&machine.serial));
                println!("{}", self.explain(&machine.name));
            }
            let log = std::fs::read_to_string(self.stage.dir.join("daemon.log")).unwrap_or_default();
            println!("--- the daemon ({})\n{log}", self.config.display());
        }
    }
}
