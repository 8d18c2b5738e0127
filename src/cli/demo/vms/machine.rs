//! A machine of real firmware with a simulated BMC: the Redfish router's [`Chassis`] over a QEMU process, and the task
//! that owns both.
#![allow(missing_docs, reason = "the names say the rest")]

use std::net::Ipv4Addr;
use std::path::PathBuf;

use tokio::sync::mpsc;

use super::qemu::{Emulator, End, Hardware};
use crate::daemon::clock;
use crate::model::{Mac, PowerState, Time};
use crate::sim::actor::{Place, Reply};
use crate::sim::bmc::{Bmc, BmcConfig, Request};
use crate::sim::chassis::Chassis;
use crate::sim::fault::FaultPlan;
use crate::sim::machine::{BootOrder, Override, Power};

#[derive(Clone, Debug)]
pub struct VmSpec {
    /// Its name, `cluster/host`.
    pub name: String,
    pub hardware: Hardware,
    pub order: BootOrder,
    /// Its BMC and the BMC's MAC, if it has one.
    pub bmc: Option<(BmcConfig, Mac)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VmView {
    pub name: String,
    pub power: PowerState,
    /// Starts of the firmware.
    pub starts: u32,
    /// How many of them tried the network first.
    pub network_starts: u32,
    pub bmc_ip: Option<Ipv4Addr>,
    /// Why it cannot run at all.
    pub trouble: Option<String>,
    /// Everything it said on its serial port.
    pub serial: PathBuf,
    pub disk: PathBuf,
}

pub(super) enum Command {
    Redfish(Request, Reply),
    Power(Power),
    Override(Option<Override>),
    BmcAddress(Ipv4Addr),
}

/// The machine without its BMC.
struct Vm {
    spec: VmSpec,
    wanted: Option<Override>,
    emulator: Option<Emulator>,
    /// Buttons that were pressed and not yet obeyed.
    orders: Vec<Power>,
    faults: FaultPlan,
    view: VmView,
}

impl Chassis for Vm {
    fn boot_mac(&self) -> Mac {
        self.spec.hardware.mac
    }

    fn bmc_mac(&self) -> Option<Mac> {
        self.spec.bmc.as_ref().map(|(_, mac)| *mac)
    }

    fn power(&self) -> PowerState {
        if self.emulator.is_some() { PowerState::On } else { PowerState::Off }
    }

    fn boot_override(&self) -> Option<Override> {
        self.wanted
    }

    fn set_override(&mut self, _: Time, wanted: Option<Override>) {
        self.wanted = wanted;
    }

    fn switch(&mut self, _: Time, power: Power) {
        self.orders.push(power);
    }

    fn faults(&mut self) -> &mut FaultPlan {
        &mut self.faults
    }
}

impl Vm {
    async fn obey(&mut self) {
        for order in std::mem::take(&mut self.orders) {
            let on = self.emulator.is_some();
            match order {
                Power::On if !on => self.start(),
                Power::PushButton if !on => self.start(),
                Power::ForceOff => self.cut().await,
                Power::ForceRestart if on => {
                    self.cut().await;
                    self.start();
                }
                Power::GracefulShutdown | Power::PushButton => {
                    if let Some(emulator) = &mut self.emulator {
                        emulator.press().await;
                    }
                }
                Power::On | Power::ForceRestart => {}
            }
        }
    }

    async fn cut(&mut self) {
        if let Some(emulator) = self.emulator.take() {
            emulator.kill().await;
        }
    }

    /// Power-on: the boot override counts for this start, and if it was for once, for no other.
    fn start(&mut self) {
        let order = self.spec.order == BootOrder::NetworkFirst;
        let network = self.wanted.map_or(order, |wanted| wanted.network);
        self.wanted = self.wanted.filter(|wanted| !wanted.once);
        self.view.starts += 1;
        self.view.network_starts += u32::from(network);
        match self.spec.hardware.start(network) {
            Ok(emulator) => self.emulator = Some(emulator),
            Err(error) => self.view.trouble = Some(format!("{error:#}")),
        }
    }

    async fn ended(&mut self) -> End {
        match &mut self.emulator {
            Some(emulator) => emulator.ended().await,
            None => std::future::pending().await,
        }
    }
}

/// Owns a machine and its BMC.
pub(super) struct Actor {
    vm: Vm,
    bmc: Option<Bmc>,
}

impl Actor {
    /// A machine that is switched off.
    pub(super) fn new(spec: VmSpec) -> Self {
        let bmc = spec.bmc.clone().map(|(config, _)| Bmc::new(config));
        let view = VmView {
            name: spec.name.clone(),
            power: PowerState::Off,
            starts: 0,
            network_starts: 0,
            bmc_ip: None,
            trouble: None,
            serial: spec.hardware.serial(),
            disk: spec.hardware.disk(),
        };
        let vm = Vm { spec, wanted: None, emulator: None, orders: Vec::new(), faults: FaultPlan::none(), view };
        Actor { vm, bmc }
    }

    pub(super) fn view(&self) -> VmView {
        VmView { power: self.vm.power(), ..self.vm.view.clone() }
    }

    /// Until nobody has a door to it any more; then it loses power.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, place: Place<VmView>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => return self.vm.cut().await,
                },
                end = self.vm.ended() => {
                    self.vm.emulator = None;
                    if end == End::Reset {
                        self.vm.start();
                    }
                }
            }
            place.publish(self.view());
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Power(power) => self.vm.orders.push(power),
            Command::Override(wanted) => self.vm.wanted = wanted,
            Command::BmcAddress(ip) => self.vm.view.bmc_ip = Some(ip),
            Command::Redfish(request, reply) => {
                let Some(bmc) = &mut self.bmc else { return };
                let answer = bmc.handle(&mut self.vm, clock::now(), &request);
                self.vm.obey().await;
                // The client may have gone; the effect has happened all the same.
                let _ = reply.send((answer.delay, answer.response));
            }
        }
        self.vm.obey().await;
    }
}
