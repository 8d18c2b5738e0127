//! Many simulated machines on real sockets: DHCP through a relay, TFTP, HTTP, and a Redfish service over TLS for every
//! BMC. All on loopback addresses that the DHCP server leases, so no privilege is needed.
#![allow(missing_docs, reason = "the names say the rest")]

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::actor::{Place, Reply, Views};
use super::bmc::{Bmc, BmcConfig, Request};
use super::https::Identity;
use super::machine::{Disk, Effect, Machine, MachineConfig, MachineEvent, Power, Stage};
use super::wire::{self, Relay};
use crate::model::{PowerState, Time};

mod management;

use management::{Management, run_bmc};

/// Where the rack stands and what is in it.
#[derive(Clone, Debug)]
pub struct RackConfig {
    pub dhcp: SocketAddrV4,
    /// The address that relayed requests come from and name (`giaddr`): on the served segment, not in the dynamic range.
    pub relay: Ipv4Addr,
    /// TFTP port, where a URL names none.
    pub tftp_port: u16,
    /// Port of the BMCs' Redfish services.
    pub bmc_port: u16,
    pub machines: Vec<RackMachine>,
}

#[derive(Clone, Debug)]
pub struct RackMachine {
    /// The machine. With a BMC its `bmc_mac` must be set.
    pub machine: MachineConfig,
    pub bmc: Option<BmcConfig>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MachineView {
    pub name: String,
    pub power: PowerState,
    pub stage: Stage,
    pub disk: Disk,
    /// Every wipe: the token it was made with.
    pub wipes: Vec<Option<String>>,
    /// Starts of the firmware.
    pub starts: u32,
    pub os_boots: u32,
    pub installer_boots: u32,
    pub ip: Option<Ipv4Addr>,
    pub bmc_ip: Option<Ipv4Addr>,
    pub led: bool,
    pub sessions: usize,
    /// The last thing on its console.
    pub console: String,
}

enum Command {
    Redfish(Request, Reply),
    Event(MachineEvent),
    BmcAddress(Ipv4Addr),
}

/// A running rack. Dropping it stops it.
pub struct Rack {
    doors: BTreeMap<String, mpsc::Sender<Command>>,
    views: Views<MachineView>,
    tasks: JoinSet<()>,
}

impl Rack {
    /// Switches the rack's mains on: BMCs come up and ask for addresses, machines stay off.
    pub async fn start(config: RackConfig) -> io::Result<Rack> {
        let mut rack = Rack { doors: BTreeMap::new(), views: Views::new(), tasks: JoinSet::new() };
        let relay = Relay { address: config.relay, server: config.dhcp };
        for spec in config.machines {
            let (door, commands) = mpsc::channel(64);
            let name = spec.machine.name.clone();
            let (certificate, shown) = watch::channel(0);
            if let (Some(_), Some(mac)) = (&spec.bmc, spec.machine.bmc_mac) {
                let identity = Identity::generate(&name)?;
                let side = Management { relay, mac, port: config.bmc_port, name: name.clone(), door: door.clone() };
                rack.tasks.spawn(run_bmc(side, identity, shown));
            }
            let actor = Actor {
                machine: Machine::new(spec.machine),
                bmc: spec.bmc.map(Bmc::new),
                relay,
                tftp_port: config.tftp_port,
                started: Instant::now(),
                work: JoinSet::new(),
                certificate,
            };
            let place = rack.views.add(actor.view());
            rack.tasks.spawn(actor.run(commands, place));
            rack.doors.insert(name, door);
        }
        Ok(rack)
    }

    pub fn machines(&self) -> Vec<MachineView> {
        self.views.now()
    }

    pub fn watch(&self) -> watch::Receiver<Vec<MachineView>> {
        self.views.watch()
    }

    /// Waits for something to become true. Wants a timeout around it.
    pub async fn wait_until(&self, mut done: impl FnMut(&[MachineView]) -> bool) {
        let mut views = self.watch();
        // Cannot fail: the sender is ours and lives as long as we do.
        let _ = views.wait_for(|views| done(views)).await;
    }

    /// Presses a machine's power button; says whether there is such a machine.
    pub async fn power_button(&self, name: &str) -> bool {
        self.tell(name, MachineEvent::Power(Power::PushButton)).await
    }

    pub async fn reset(&self, name: &str) -> bool {
        self.tell(name, MachineEvent::Power(Power::ForceRestart)).await
    }

    /// Anything else that can happen to a machine.
    pub async fn tell(&self, name: &str, event: MachineEvent) -> bool {
        self.send(name, Command::Event(event)).await
    }

    async fn send(&self, name: &str, command: Command) -> bool {
        match self.doors.get(name) {
            Some(door) => door.send(command).await.is_ok(),
            None => false,
        }
    }

    /// Pulls the plug and waits until nothing runs any more.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Owns one machine and its BMC.
struct Actor {
    machine: Machine,
    bmc: Option<Bmc>,
    relay: Relay,
    tftp_port: u16,
    started: Instant,
    work: JoinSet<Option<MachineEvent>>,
    certificate: watch::Sender<u32>,
}

impl Actor {
    fn now(&self) -> Time {
        Time(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>, place: Place<MachineView>) {
        loop {
            let due =
                self.machine.next_deadline().map(|at| self.started + at.since(Time(0)) + Duration::from_millis(1));
            let alarm = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let effects = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some(done) = self.work.join_next() => match done {
                    Ok(Some(event)) => self.step(event),
                    _ => Vec::new(),
                },
                () = alarm => self.step(MachineEvent::Timer),
            };
            for effect in effects {
                let (relay, port, patience) = (self.relay, self.tftp_port, self.machine.config().timings.network);
                self.work.spawn(perform(effect, relay, port, patience));
            }
            place.publish(self.view());
        }
    }

    fn step(&mut self, event: MachineEvent) -> Vec<Effect> {
        let now = self.now();
        self.machine.step(now, event)
    }

    fn command(&mut self, command: Command) -> Vec<Effect> {
        match command {
            Command::Event(event) => return self.step(event),
            Command::BmcAddress(ip) => self.machine.bmc_ip = Some(ip),
            Command::Redfish(request, reply) => {
                let now = self.now();
                let Some(bmc) = &mut self.bmc else { return Vec::new() };
                let answer = bmc.handle(&mut self.machine, now, &request);
                let certificate = bmc.certificate();
                self.certificate.send_if_modified(|shown| std::mem::replace(shown, certificate) != certificate);
                // The client may have gone; the effect has happened all the same.
                let _ = reply.send((answer.delay, answer.response));
            }
        }
        Vec::new()
    }

    fn view(&self) -> MachineView {
        let machine = &self.machine;
        MachineView {
            name: machine.config().name.clone(),
            power: machine.power(),
            stage: machine.stage(),
            disk: machine.disk().clone(),
            wipes: machine.wipes.iter().map(|(_, token)| token.clone()).collect(),
            starts: machine.starts,
            os_boots: machine.os_boots,
            installer_boots: machine.installer_boots,
            ip: machine.ip(),
            bmc_ip: machine.bmc_ip,
            led: self.bmc.as_ref().is_some_and(Bmc::led_on),
            sessions: self.bmc.as_ref().map_or(0, Bmc::open_sessions),
            console: machine.console.clone(),
        }
    }
}

/// Carries out one request of a machine; gives the answer as an event.
async fn perform(effect: Effect, relay: Relay, tftp_port: u16, patience: Duration) -> Option<MachineEvent> {
    match effect {
        Effect::Dhcp { id, mac, client, requested } => {
            let ack = wire::lease(relay, mac, client, requested, patience).await.ok().map(|leased| leased.ack);
            Some(MachineEvent::Dhcp { id, ack })
        }
        Effect::Tftp { id, from, server, name } => {
            let at = server.parse().or_else(|_| server.parse().map(|ip| SocketAddrV4::new(ip, tftp_port)));
            let result = match at {
                Ok(at) => wire::tftp(from, at, &name, patience).await.map_err(|error| error.to_string()),
                Err(_) => Err(format!("`{server}` is not an address")),
            };
            Some(MachineEvent::Tftp { id, result })
        }
        Effect::Http { id, from, url } => {
            let result = http(from, &url, None, patience).await;
            Some(MachineEvent::Http { id, result })
        }
        Effect::CheckIn { id, from, uri, body } => {
            let result = http(from, &uri, Some(body.to_string()), patience).await;
            Some(MachineEvent::Http { id, result })
        }
    }
}

/// The largest answer that a machine reads.
const BODY_CAP: usize = 64 << 20;

/// GET, or POST of a body, from the machine's own address.
async fn http(from: Ipv4Addr, url: &str, body: Option<String>, patience: Duration) -> Result<(u16, Vec<u8>), String> {
    let text = |error: reqwest::Error| error.to_string();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .local_address(IpAddr::V4(from))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(patience)
        .build()
        .map_err(text)?;
    let request = match body {
        Some(body) => client.post(url).header("Content-Type", "application/json").body(body),
        None => client.get(url),
    };
    let mut response = request.send().await.map_err(text)?;
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(text)? {
        if bytes.len() + chunk.len() > BODY_CAP {
            return Err("the answer is too large".into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((status, bytes))
}
