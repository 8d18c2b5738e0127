//! One machine as a pure state machine: power, firmware, network boot, disk, installer, installed system.
//!
//! It does no I/O and reads no clock. [`Machine::step`] takes the time and one event and gives the requests that the
//! machine makes of the world; the answers come back as events that carry the request's number. An answer to a request
//! from before a reset is stale and ignored. What happens when nobody answers is decided by [`Machine::next_deadline`].

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{Fault, FaultPlan};
use super::ipxe::{Ipxe, Turn};
use super::preseed;
use crate::model::{Mac, PowerState, Time};

/// How long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Power-on self test, until the firmware looks for something to boot.
    pub post: Duration,
    /// How long firmware, iPXE and installer wait for an answer from the network.
    pub network: Duration,
    /// Kernel and live system, until the installer asks for its answer file.
    pub live_boot: Duration,
    /// The installer's window to cancel, between answer file and `install-start` (15 s in pvc-installer).
    pub cancel_window: Duration,
    /// Wiping and writing the disk.
    pub write: Duration,
    /// Between `install-complete` and the reboot (10 s in pvc-installer).
    pub before_reboot: Duration,
    /// Until a failed installer starts over (15 s in pvc-installer).
    pub restart: Duration,
    /// The installed system's boot, until it asks for an address.
    pub os_boot: Duration,
    /// Between address and boot check-in (30 s in pvc-installer's script).
    pub settle: Duration,
    /// Graceful shutdown.
    pub shutdown: Duration,
    /// Until firmware that found nothing to boot tries again.
    pub retry: Duration,
    /// How late a late check-in is.
    pub late: Duration,
    /// How long power is gone in a power blip.
    pub blip: Duration,
}

impl Timings {
    /// Real servers, for tests with virtual time.
    pub fn real() -> Self {
        let secs = Duration::from_secs;
        Timings {
            post: secs(120),
            network: secs(60),
            live_boot: secs(45),
            cancel_window: secs(15),
            write: secs(300),
            before_reboot: secs(10),
            restart: secs(15),
            os_boot: secs(40),
            settle: secs(30),
            shutdown: secs(20),
            retry: secs(30),
            late: secs(420),
            blip: secs(2),
        }
    }

    /// A whole install in about two seconds, for people who watch.
    pub fn quick() -> Self {
        let ms = Duration::from_millis;
        Timings {
            post: ms(200),
            network: ms(2_000),
            live_boot: ms(200),
            cancel_window: ms(100),
            write: ms(500),
            before_reboot: ms(100),
            restart: ms(300),
            os_boot: ms(200),
            settle: ms(200),
            shutdown: ms(200),
            retry: ms(500),
            late: ms(1_500),
            blip: ms(100),
        }
    }
}

/// Firmware family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// DHCP architecture 7; `exit` is how iPXE scripts get to the disk.
    Uefi,
    /// DHCP architecture 0; `sanboot` works.
    Bios,
}

/// What the firmware tries first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootOrder {
    /// Disk, then network.
    DiskFirst,
    /// Network, then disk.
    NetworkFirst,
}

/// What a machine is, and how it misbehaves.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// Short name, for people.
    pub name: String,
    /// The BMC's MAC, when there is one.
    pub bmc_mac: Option<Mac>,
    /// The NIC it boots from.
    pub boot_mac: Mac,
    /// Firmware family.
    pub firmware: Firmware,
    /// Boot order.
    pub order: BootOrder,
    /// Whether the NIC loads iPXE by TFTP; otherwise iPXE is in its ROM.
    pub loads_ipxe: bool,
    /// How long things take.
    pub timings: Timings,
    /// What goes wrong.
    pub faults: FaultPlan,
}

/// What is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing.
    Blank,
    /// Half of something: wiped, and not written to the end.
    Installing {
        /// The token in the check-in URI of the install, when there is one.
        token: Option<String>,
    },
    /// A system.
    Installed {
        /// The token in the check-in URI of the install, when there is one.
        token: Option<String>,
    },
}

/// A boot override as set by the BMC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// Network (`Pxe`) rather than disk (`Hdd`).
    pub network: bool,
    /// Only for the next start.
    pub once: bool,
}

/// Where the machine is. For people and tests; the details are the machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// No power.
    Off,
    /// Power-on self test.
    Post,
    /// Network boot, from DHCP to the end of the boot script.
    NetworkBoot,
    /// An installer runs.
    Installer,
    /// The installed system is coming up.
    OsBoot,
    /// The installed system runs.
    Running,
    /// It is shutting down.
    ShuttingDown,
    /// Firmware found nothing to boot.
    NoBootDevice,
    /// Stopped for good, until somebody resets it.
    Hung,
}

impl Stage {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Off => "off",
            Stage::Post => "post",
            Stage::NetworkBoot => "network-boot",
            Stage::Installer => "installer",
            Stage::OsBoot => "os-boot",
            Stage::Running => "running",
            Stage::ShuttingDown => "shutting-down",
            Stage::NoBootDevice => "no-boot-device",
            Stage::Hung => "hung",
        }
    }
}

/// What somebody does to the machine's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// On; nothing when it is.
    On,
    /// Off at once.
    ForceOff,
    /// ACPI shutdown; only a running system listens.
    GracefulShutdown,
    /// Reset; nothing when it is off.
    ForceRestart,
    /// The button: on when off, graceful shutdown when on.
    PushButton,
}

/// A DHCP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The machine's address.
    pub ip: Ipv4Addr,
    /// Where boot files come from.
    pub next_server: Ipv4Addr,
    /// Boot file name or URL.
    pub file: Option<String>,
}

/// What happens to the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum MachineEvent {
    /// Power.
    Power(Power),
    /// The BMC sets or clears the boot override.
    SetOverride(Option<Override>),
    /// Answer to [`Effect::Dhcp`].
    Dhcp {
        /// Whose answer.
        id: u64,
        /// The lease; `None` when there was none.
        ack: Option<Ack>,
    },
    /// Answer to [`Effect::Tftp`].
    Tftp {
        /// Whose answer.
        id: u64,
        /// The file, or the reason.
        result: Result<Vec<u8>, String>,
    },
    /// Answer to [`Effect::Http`] and [`Effect::CheckIn`].
    Http {
        /// Whose answer.
        id: u64,
        /// Status and body, or the reason why there is none.
        result: Result<(u16, Vec<u8>), String>,
    },
    /// Ansible's roles began on the installed system: its next boot reports `system-boot_configured`.
    Configured,
    /// Somebody puts another disk in.
    ReplaceDisk,
    /// Time has passed.
    Timer,
}

/// Who asks for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpClient {
    /// PXE firmware, with its architecture (option 93).
    Pxe(u16),
    /// iPXE (option 175), with its architecture.
    Ipxe(u16),
    /// An operating system.
    Os,
}

/// What the machine asks of the world. Every request but a check-in's is answered with an event of the same number.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// DISCOVER, OFFER, REQUEST, ACK.
    Dhcp {
        /// Number.
        id: u64,
        /// `chaddr`.
        mac: Mac,
        /// Who asks.
        client: DhcpClient,
        /// The address it had, if any.
        requested: Option<Ipv4Addr>,
    },
    /// A TFTP read.
    Tftp {
        /// Number.
        id: u64,
        /// The machine's own address.
        from: Ipv4Addr,
        /// Server, with port when the URL named one.
        server: String,
        /// File name.
        name: String,
    },
    /// A GET.
    Http {
        /// Number.
        id: u64,
        /// The machine's own address.
        from: Ipv4Addr,
        /// What.
        url: String,
    },
    /// A POST of a check-in.
    CheckIn {
        /// Number.
        id: u64,
        /// The machine's own address.
        from: Ipv4Addr,
        /// Where to.
        uri: String,
        /// The body.
        body: Value,
    },
}

/// What the machine does in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Off,
    Blip,
    Post,
    PxeDhcp,
    PxeLoad,
    IpxeDhcp,
    Script,
    ScriptSleep,
    LiveBoot,
    AnswerFile,
    Keys,
    CancelWindow,
    InstallStart,
    Writing { blip: bool, hang: bool },
    InstallComplete,
    BeforeReboot,
    RestartInstaller,
    OsBoot,
    OsDhcp,
    Settle,
    Running,
    ShuttingDown,
    NoBootDevice,
    Hung,
}

#[derive(Clone, Copy, PartialEq)]
enum Entry {
    Disk,
    Network,
}

/// An answer file as the installer understood it.
#[derive(Clone)]
struct Answers {
    hostname: String,
    uri: String,
    token: Option<String>,
}

/// The machine.
pub struct Machine {
    config: MachineConfig,
    doing: Doing,
    deadline: Option<Time>,
    /// The request whose answer counts.
    pending: Option<u64>,
    last_id: u64,
    entries: VecDeque<Entry>,
    lease: Option<Ack>,
    script: Option<Ipxe>,
    seed: Option<(String, String)>,
    answers: Option<Answers>,
    /// What the installed system knows: it is on the disk.
    system: Option<Answers>,
    configured: bool,
    boot_override: Option<Override>,
    disk: Disk,
    late: Vec<(Time, Effect)>,
    /// The address of its BMC, as `ipmitool lan print` would tell the installer.
    pub bmc_ip: Option<Ipv4Addr>,
    /// Every wipe of the disk: when, and with which token.
    pub wipes: Vec<(Time, Option<String>)>,
    /// Starts of the firmware.
    pub starts: u32,
    /// Boots of the installed system.
    pub os_boots: u32,
    /// Times an installer was started over the network.
    pub installer_boots: u32,
    /// The last thing that went wrong, for people.
    pub console: String,
}

impl Machine {
    /// A machine that is switched off, with a blank disk.
    pub fn new(config: MachineConfig) -> Self {
        Machine {
            config,
            doing: Doing::Off,
            deadline: None,
            pending: None,
            last_id: 0,
            entries: VecDeque::new(),
            lease: None,
            script: None,
            seed: None,
            answers: None,
            system: None,
            configured: false,
            boot_override: None,
            disk: Disk::Blank,
            late: Vec::new(),
            bmc_ip: None,
            wipes: Vec::new(),
            starts: 0,
            os_boots: 0,
            installer_boots: 0,
            console: String::new(),
        }
    }

    /// What it is.
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// Its faults, for whoever wants them to stop.
    pub fn faults(&mut self) -> &mut FaultPlan {
        &mut self.config.faults
    }

    /// Power, as the BMC reads it.
    pub fn power(&self) -> PowerState {
        if matches!(self.doing, Doing::Off | Doing::Blip) { PowerState::Off } else { PowerState::On }
    }

    /// What is on the disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The boot override, as the BMC reads it back.
    pub fn boot_override(&self) -> Option<Override> {
        self.boot_override
    }

    /// Its address on the boot network.
    pub fn ip(&self) -> Option<Ipv4Addr> {
        self.lease.as_ref().map(|lease| lease.ip)
    }

    /// Where it is.
    pub fn stage(&self) -> Stage {
        match self.doing {
            Doing::Off | Doing::Blip => Stage::Off,
            Doing::Post => Stage::Post,
            Doing::PxeDhcp | Doing::PxeLoad | Doing::IpxeDhcp | Doing::Script | Doing::ScriptSleep => {
                Stage::NetworkBoot
            }
            Doing::LiveBoot
            | Doing::AnswerFile
            | Doing::Keys
            | Doing::CancelWindow
            | Doing::InstallStart
            | Doing::Writing { .. }
            | Doing::InstallComplete
            | Doing::BeforeReboot
            | Doing::RestartInstaller => Stage::Installer,
            Doing::OsBoot | Doing::OsDhcp | Doing::Settle => Stage::OsBoot,
            Doing::Running => Stage::Running,
            Doing::ShuttingDown => Stage::ShuttingDown,
            Doing::NoBootDevice => Stage::NoBootDevice,
            Doing::Hung => Stage::Hung,
        }
    }

    /// When [`MachineEvent::Timer`] is due.
    pub fn next_deadline(&self) -> Option<Time> {
        self.late.iter().map(|(at, _)| *at).chain(self.deadline).min()
    }

    /// Tells the machine what happens; gives what it asks for.
    pub fn step(&mut self, now: Time, event: MachineEvent) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            MachineEvent::Power(power) => self.switch(now, power),
            MachineEvent::SetOverride(wanted) => {
                if !self.config.faults.fires(Fault::IgnoresBootOverride) {
                    self.boot_override = wanted;
                }
            }
            MachineEvent::Configured => self.configured = self.system.is_some(),
            MachineEvent::ReplaceDisk => (self.disk, self.system, self.configured) = (Disk::Blank, None, false),
            MachineEvent::Timer => self.timer(now, &mut effects),
            MachineEvent::Dhcp { id, ack } if self.answered(id) => self.dhcp(now, ack, &mut effects),
            MachineEvent::Tftp { id, result } if self.answered(id) => self.file(now, result.ok(), &mut effects),
            MachineEvent::Http { id, result } if self.answered(id) => match self.doing {
                Doing::InstallStart | Doing::InstallComplete => self.checked_in(now, result.is_ok()),
                _ => {
                    let body = result.ok().filter(|(status, _)| *status == 200).map(|(_, body)| body);
                    self.file(now, body, &mut effects);
                }
            },
            MachineEvent::Dhcp { .. } | MachineEvent::Tftp { .. } | MachineEvent::Http { .. } => {}
        }
        effects
    }

    fn answered(&mut self, id: u64) -> bool {
        let mine = self.pending == Some(id);
        if mine {
            self.pending = None;
        }
        mine
    }

    fn enter(&mut self, now: Time, doing: Doing, after: Duration) {
        self.doing = doing;
        self.pending = None;
        self.deadline = Some(now + after);
    }

    fn rest(&mut self, doing: Doing) {
        self.doing = doing;
        self.pending = None;
        self.deadline = None;
    }

    fn switch(&mut self, now: Time, power: Power) {
        let on = self.power() == PowerState::On;
        match power {
            Power::On | Power::PushButton if !on => self.start(now),
            Power::ForceRestart if on => self.start(now),
            Power::ForceOff => self.cut(),
            Power::GracefulShutdown | Power::PushButton if self.stage() == Stage::Running => {
                self.enter(now, Doing::ShuttingDown, self.config.timings.shutdown);
            }
            _ => {}
        }
    }

    /// Everything volatile is gone.
    fn cut(&mut self) {
        self.rest(Doing::Off);
        self.entries.clear();
        self.lease = None;
        self.script = None;
        self.seed = None;
        self.answers = None;
    }

    fn start(&mut self, now: Time) {
        self.cut();
        self.starts += 1;
        self.console.clear();
        self.enter(now, Doing::Post, self.config.timings.post);
    }

    /// The firmware makes its list of things to boot.
    fn look_for_boot(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let faults = &mut self.config.faults;
        let network_first = self.config.order == BootOrder::NetworkFirst || faults.has(Fault::PxeFirst);
        self.entries =
            if network_first { [Entry::Network, Entry::Disk].into() } else { [Entry::Disk, Entry::Network].into() };
        if let Some(wanted) = self.boot_override {
            if !faults.fires(Fault::ForgetsBootOverride) {
                self.entries.push_front(if wanted.network { Entry::Network } else { Entry::Disk });
            }
            if wanted.once && !faults.has(Fault::ContinuousBootOverride) {
                self.boot_override = None;
            }
        }
        self.next_entry(now, effects);
    }

    fn next_entry(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.script = None;
        loop {
            match self.entries.pop_front() {
                Some(Entry::Disk) if self.bootable() => return self.boot_disk(now),
                Some(Entry::Disk) => {}
                Some(Entry::Network) => {
                    return self.ask_dhcp(now, Doing::PxeDhcp, DhcpClient::Pxe(self.arch()), effects);
                }
                None => {
                    self.console = "no bootable device".into();
                    return self.enter(now, Doing::NoBootDevice, self.config.timings.retry);
                }
            }
        }
    }

    fn bootable(&self) -> bool {
        matches!(self.disk, Disk::Installed { .. })
    }

    fn boot_disk(&mut self, now: Time) {
        self.os_boots += 1;
        self.enter(now, Doing::OsBoot, self.config.timings.os_boot);
    }

    fn arch(&self) -> u16 {
        match self.config.firmware {
            Firmware::Uefi => 7,
            Firmware::Bios => 0,
        }
    }

    /// Numbers a request; `None` when the network swallows it.
    fn ask(&mut self, now: Time, doing: Doing, make: impl FnOnce(u64) -> Effect, effects: &mut Vec<Effect>) {
        self.enter(now, doing, self.config.timings.network);
        self.last_id += 1;
        self.pending = Some(self.last_id);
        let effect = make(self.last_id);
        if !self.config.faults.fires(Fault::LostPacket) {
            effects.push(effect);
        }
    }

    fn ask_dhcp(&mut self, now: Time, doing: Doing, client: DhcpClient, effects: &mut Vec<Effect>) {
        let (mac, requested) = (self.config.boot_mac, self.ip());
        self.ask(now, doing, |id| Effect::Dhcp { id, mac, client, requested }, effects);
    }

    /// Asks for a file by URL (`tftp://`, `http://`), or by TFTP name on the next server.
    fn ask_file(&mut self, now: Time, doing: Doing, url: &str, effects: &mut Vec<Effect>) {
        let Some(lease) = self.lease.clone() else { return self.next_entry(now, effects) };
        let url = url.to_owned();
        self.ask(
            now,
            doing,
            |id| {
                if url.starts_with("http://") || url.starts_with("https://") {
                    return Effect::Http { id, from: lease.ip, url };
                }
                match url.strip_prefix("tftp://").and_then(|rest| rest.split_once('/')) {
                    Some((server, name)) => {
                        Effect::Tftp { id, from: lease.ip, server: server.into(), name: name.into() }
                    }
                    None => Effect::Tftp { id, from: lease.ip, server: lease.next_server.to_string(), name: url },
                }
            },
            effects,
        );
    }

    fn dhcp(&mut self, now: Time, ack: Option<Ack>, effects: &mut Vec<Effect>) {
        let file = ack.as_ref().and_then(|ack| ack.file.clone());
        let got = ack.is_some();
        if got {
            self.lease = ack;
        }
        match (self.doing, file) {
            (Doing::PxeDhcp, Some(file)) if self.config.loads_ipxe => {
                self.ask_file(now, Doing::PxeLoad, &file, effects);
            }
            (Doing::PxeDhcp, Some(_)) => self.start_ipxe(now, effects),
            (Doing::IpxeDhcp, Some(file)) => self.ask_file(now, Doing::Script, &file, effects),
            (Doing::OsDhcp, _) if got => self.enter(now, Doing::Settle, self.config.timings.settle),
            // dhclient asks again and again; firmware goes on to its next entry.
            (Doing::OsDhcp, _) => self.enter(now, Doing::OsBoot, self.config.timings.retry),
            _ => self.next_entry(now, effects),
        }
    }

    fn start_ipxe(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.ask_dhcp(now, Doing::IpxeDhcp, DhcpClient::Ipxe(self.arch()), effects);
    }

    fn file(&mut self, now: Time, body: Option<Vec<u8>>, effects: &mut Vec<Effect>) {
        match self.doing {
            Doing::PxeLoad if body.is_some() => self.start_ipxe(now, effects),
            Doing::Script => self.run_script(now, body.as_deref(), effects),
            Doing::AnswerFile => self.read_answers(now, body, effects),
            // Without keys the installed system has a password only; the install goes on.
            Doing::Keys => self.enter(now, Doing::CancelWindow, self.config.timings.cancel_window),
            _ => self.next_entry(now, effects),
        }
    }

    fn run_script(&mut self, now: Time, body: Option<&[u8]>, effects: &mut Vec<Effect>) {
        let Some(lease) = self.lease.clone() else { return self.next_entry(now, effects) };
        let script = match self.script.take() {
            Some(mut script) => {
                script.fetched(body);
                Some(script)
            }
            None => {
                let platform = if self.config.firmware == Firmware::Uefi { "efi" } else { "pcbios" };
                let mut script = Ipxe::new(
                    self.config.boot_mac,
                    [
                        ("ip", lease.ip.to_string()),
                        ("next-server", lease.next_server.to_string()),
                        ("filename", lease.file.clone().unwrap_or_default()),
                        ("platform", platform.to_owned()),
                        ("buildarch", "x86_64".to_owned()),
                    ],
                );
                body.is_some_and(|body| script.start(body)).then_some(script)
            }
        };
        match script {
            Some(script) => self.resume_script(now, script, effects),
            None => {
                self.console = "the boot script cannot be read".into();
                self.next_entry(now, effects);
            }
        }
    }

    fn resume_script(&mut self, now: Time, mut script: Ipxe, effects: &mut Vec<Effect>) {
        let base = self.lease.as_ref().and_then(|lease| lease.file.clone());
        let sanboot_works = self.bootable() && self.config.firmware == Firmware::Bios;
        match script.run(sanboot_works) {
            Turn::Fetch(url) => {
                let url = absolute(&url, base.as_deref());
                self.ask_file(now, Doing::Script, &url, effects);
                self.script = Some(script);
            }
            Turn::Sleep => {
                self.enter(now, Doing::ScriptSleep, self.config.timings.retry);
                self.script = Some(script);
            }
            Turn::Kernel { args, .. } => self.start_kernel(now, &args),
            Turn::Local => self.boot_disk(now),
            Turn::Exit => self.next_entry(now, effects),
            Turn::Reboot => self.start(now),
            Turn::PowerOff => self.cut(),
            Turn::Failed(why) => {
                self.console = why;
                self.next_entry(now, effects);
            }
        }
    }

    fn start_kernel(&mut self, now: Time, args: &str) {
        let arg = |name: &str| {
            args.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        self.installer_boots += 1;
        let seeded = arg("pvcinstall.preseed").as_deref() == Some("on");
        match (arg("pvcinstall.seed_host"), arg("pvcinstall.seed_file")) {
            (Some(host), Some(file)) if seeded => {
                self.seed = Some((host, file));
                if self.config.faults.fires(Fault::HungInstaller) {
                    self.console = "the live system hangs".into();
                    return self.rest(Doing::Hung);
                }
                self.enter(now, Doing::LiveBoot, self.config.timings.live_boot);
            }
            _ => {
                self.console = "the installer waits for a person: it was given no answer file".into();
                self.rest(Doing::Hung);
            }
        }
    }

    fn ask_answers(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some((host, name)) = self.seed.clone() else { return self.restart_installer(now, "no answer file") };
        self.ask_file(now, Doing::AnswerFile, &format!("tftp://{host}/{name}"), effects);
    }

    fn read_answers(&mut self, now: Time, body: Option<Vec<u8>>, effects: &mut Vec<Effect>) {
        let Some(body) = body else { return self.restart_installer(now, "the answer file cannot be read") };
        let vars = match preseed::parse(&String::from_utf8_lossy(&body)) {
            Ok(vars) => vars,
            Err(why) => return self.restart_installer(now, &why),
        };
        let var = |name: &str| vars.get(name).cloned().unwrap_or_default();
        let (hostname, disk, uri) = (var("target_hostname"), var("target_disk"), var("pvcbootstrapd_checkin_uri"));
        if hostname.is_empty() || !is_disk(&disk) || !uri.starts_with("http") {
            return self.restart_installer(now, "the answer file lacks host name, disk or check-in URI");
        }
        self.answers = Some(Answers { hostname, token: token_of(&uri), uri });
        self.ask_keys(now, &vars, effects);
    }

    fn ask_keys(&mut self, now: Time, vars: &BTreeMap<String, String>, effects: &mut Vec<Effect>) {
        let path = vars.get("target_keys_path").cloned().unwrap_or_default();
        let host = self.seed.as_ref().map(|(host, _)| host.clone()).unwrap_or_default();
        match vars.get("target_keys_method").map(String::as_str) {
            Some("tftp") => self.ask_file(now, Doing::Keys, &format!("tftp://{host}/{path}"), effects),
            Some("wget") => self.ask_file(now, Doing::Keys, &path, effects),
            _ => self.enter(now, Doing::CancelWindow, self.config.timings.cancel_window),
        }
    }

    /// pvc-installer's trap: any failure starts it over.
    fn restart_installer(&mut self, now: Time, why: &str) {
        self.console = why.to_owned();
        self.answers = None;
        self.enter(now, Doing::RestartInstaller, self.config.timings.restart);
    }

    /// Sends a check-in and goes to `doing`, in which its answer is awaited.
    fn check_in(&mut self, now: Time, doing: Doing, who: &Answers, action: &str, effects: &mut Vec<Effect>) {
        let installer = action.starts_with("install");
        let short = who.hostname.split('.').next().unwrap_or_default();
        let text = |value: Option<String>| value.unwrap_or_default();
        let body = json!({
            "action": action,
            "hostname": if installer { &who.hostname } else { short },
            "host_macaddr": self.config.boot_mac.to_string(),
            "host_ipaddr": text(self.ip().map(|ip| ip.to_string())),
            "bmc_macaddr": text(self.config.bmc_mac.map(|mac| mac.to_string())),
            "bmc_ipaddr": text(self.bmc_ip.map(|ip| ip.to_string())),
        });
        self.enter(now, doing, self.config.timings.network);
        self.last_id += 1;
        let id = self.last_id;
        self.pending = Some(id);
        let from = self.ip().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let effect = Effect::CheckIn { id, from, uri: who.uri.clone(), body };
        let faults = &mut self.config.faults;
        if faults.fires(Fault::LostCallback) {
            self.unheard(now);
        } else if faults.fires(Fault::LateCallback) {
            self.late.push((now + self.config.timings.late, effect));
            self.unheard(now);
        } else {
            if faults.fires(Fault::DoubledCallback) {
                effects.push(effect.clone());
            }
            effects.push(effect);
        }
    }

    /// A check-in that went into the void looks to the machine as if it had been answered.
    fn unheard(&mut self, now: Time) {
        self.pending = None;
        self.checked_in(now, true);
    }

    fn checked_in(&mut self, now: Time, answered: bool) {
        match self.doing {
            Doing::InstallStart if !answered => self.restart_installer(now, "the check-in could not be sent"),
            Doing::InstallStart if self.config.faults.fires(Fault::CrashingInstaller) => {
                self.restart_installer(now, "the installer failed");
            }
            Doing::InstallStart => self.wipe(now),
            // pvc-installer ignores what becomes of this one.
            Doing::InstallComplete => self.enter(now, Doing::BeforeReboot, self.config.timings.before_reboot),
            _ => {}
        }
    }

    fn wipe(&mut self, now: Time) {
        let token = self.answers.as_ref().and_then(|answers| answers.token.clone());
        self.wipes.push((now, token.clone()));
        self.disk = Disk::Installing { token };
        self.system = None;
        self.configured = false;
        let blip = self.config.faults.fires(Fault::PowerBlip);
        let hang = !blip && self.config.faults.fires(Fault::HungInstaller);
        let write = self.config.timings.write;
        self.enter(now, Doing::Writing { blip, hang }, if blip || hang { write / 2 } else { write });
    }

    fn timer(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let due = self.late.iter().filter(|(at, _)| *at <= now).map(|(_, effect)| effect.clone());
        effects.extend(due);
        self.late.retain(|(at, _)| *at > now);
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.deadline = None;
        let timings = self.config.timings.clone();
        match self.doing {
            Doing::Blip => self.start(now),
            Doing::Post | Doing::NoBootDevice => self.look_for_boot(now, effects),
            Doing::PxeDhcp | Doing::PxeLoad | Doing::IpxeDhcp => self.next_entry(now, effects),
            Doing::ScriptSleep => match self.script.take() {
                Some(script) => self.resume_script(now, script, effects),
                None => self.next_entry(now, effects),
            },
            Doing::Script | Doing::Keys | Doing::AnswerFile => {
                self.pending = None;
                self.file(now, None, effects);
            }
            Doing::LiveBoot | Doing::RestartInstaller => self.ask_answers(now, effects),
            Doing::CancelWindow => match self.answers.clone() {
                Some(who) => self.check_in(now, Doing::InstallStart, &who, "install-start", effects),
                None => self.restart_installer(now, "no answer file"),
            },
            Doing::InstallStart | Doing::InstallComplete => self.checked_in(now, false),
            Doing::Writing { blip: true, .. } => {
                self.cut();
                self.enter(now, Doing::Blip, timings.blip);
            }
            Doing::Writing { hang: true, .. } => {
                self.console = "the installer hangs".into();
                self.rest(Doing::Hung);
            }
            Doing::Writing { .. } => self.written(now, effects),
            Doing::BeforeReboot => self.start(now),
            Doing::OsBoot => self.ask_dhcp(now, Doing::OsDhcp, DhcpClient::Os, effects),
            Doing::OsDhcp => self.dhcp(now, None, effects),
            Doing::Settle => self.report_boot(now, effects),
            Doing::Running => self.rest(Doing::Running),
            Doing::ShuttingDown => self.cut(),
            Doing::Off | Doing::Hung => {}
        }
    }

    fn written(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(who) = self.answers.clone() else { return self.restart_installer(now, "no answer file") };
        self.disk = Disk::Installed { token: who.token.clone() };
        self.system = Some(who.clone());
        self.check_in(now, Doing::InstallComplete, &who, "install-complete", effects);
    }

    fn report_boot(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(who) = self.system.clone() else { return self.rest(Doing::Running) };
        let action = if self.configured { "system-boot_configured" } else { "system-boot_initial" };
        self.check_in(now, Doing::Running, &who, action, effects);
        self.rest(Doing::Running);
    }
}

/// `/dev/…`, or `detect:NAME:SIZE:ID`.
fn is_disk(text: &str) -> bool {
    text.strip_prefix("/dev/").is_some_and(|rest| !rest.is_empty())
        || (text.starts_with("detect:") && text.split(':').count() == 4)
}

/// The token in a check-in URI's path: 32 hex digits at its end.
fn token_of(uri: &str) -> Option<String> {
    let last = uri.rsplit('/').next()?;
    (last.len() == 32 && last.bytes().all(|b| b.is_ascii_hexdigit())).then(|| last.to_ascii_lowercase())
}

/// Resolves a script's URL against the one the boot script came from, as iPXE does.
fn absolute(url: &str, base: Option<&str>) -> String {
    let Some(base) = base.filter(|_| !url.contains("://")) else { return url.to_owned() };
    let host_end = base.find("://").map(|at| base[at + 3..].find('/').map_or(base.len(), |slash| at + 3 + slash));
    match host_end {
        Some(end) if url.starts_with('/') => format!("{}{url}", &base[..end]),
        Some(end) => format!("{}/{url}", &base[..base.rfind('/').unwrap_or(end).max(end)]),
        None => url.to_owned(),
    }
}
