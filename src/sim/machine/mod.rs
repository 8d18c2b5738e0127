//! One machine as a pure state machine: power, firmware, network boot, disk, installer, installed system.
//!
//! It does no I/O and reads no clock. [`Machine::step`] takes the time and one event and gives the requests that the
//! machine makes of the world; the answers come back as events that carry the request's number. An answer to a request
//! from before a reset is stale and ignored. What happens when nobody answers is decided by [`Machine::next_deadline`].
#![allow(missing_docs, reason = "the names say the rest")]

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::fault::{Fault, FaultPlan};
use super::ipxe::Ipxe;
use crate::model::{PowerState, Time};

mod event;
mod installer;
mod netboot;

pub use event::*;

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

#[derive(Clone)]
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
    /// When sshd of the system that runs answers.
    sshd_at: Option<Time>,
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
            sshd_at: None,
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

    /// A machine whose disk holds a system already: this host name, and this check-in URI in its boot script.
    pub fn installed(config: MachineConfig, hostname: &str, uri: &str) -> Self {
        let token = installer::token_of(uri);
        let system = Answers { hostname: hostname.into(), uri: uri.into(), token: token.clone() };
        Machine { disk: Disk::Installed { token }, system: Some(system), ..Machine::new(config) }
    }

    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    pub fn faults(&mut self) -> &mut FaultPlan {
        &mut self.config.faults
    }

    /// Power, as the BMC reads it.
    pub fn power(&self) -> PowerState {
        if matches!(self.doing, Doing::Off | Doing::Blip) { PowerState::Off } else { PowerState::On }
    }

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

    /// Whom one finds there over SSH, when anybody answers: host key and boot of the installed system.
    pub fn ssh(&self, now: Time) -> Option<(String, String)> {
        let up = self.doing == Doing::Running && self.sshd_at.is_some_and(|at| at <= now);
        let system = self.system.as_ref().filter(|_| up)?;
        // A key is made with the system: another install has another one.
        let key = format!("ssh-ed25519 {}", system.token.as_deref().unwrap_or("none"));
        Some((key, format!("{}-{}", self.config.name, self.os_boots)))
    }

    /// Whether its configuration was begun: PVC's markers are there.
    pub fn is_marked(&self) -> bool {
        self.configured
    }

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
}
