//! The only door to BMCs: at most one operation on each at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::ipmi;
use super::redfish::{self, Session, Tls};
use super::target::{Order, Patience, Target, Via};
use crate::model::{Action, Digest, Event, Fault, HostId, Outcome, PowerState, Protocol, World};
use crate::plan;
use crate::settings::BmcTls;

/// Journals a fact; resolves once it is durable.
pub type Tell = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One guardian for every BMC.
pub struct Guardians {
    tls: BmcTls,
    port: u16,
    ipmi_port: u16,
    patience: Patience,
    way: Box<dyn Fn(&HostId, IpAddr) -> Via + Send + Sync>,
    tell: Tell,
    bmcs: Mutex<BTreeMap<(IpAddr, u16), Arc<tokio::sync::Mutex<()>>>>,
}

impl Guardians {
    /// Guardians that reach BMCs over the network, at this port.
    pub fn new(tls: BmcTls, port: u16, tell: Tell) -> Self {
        let way = Box::new(|_: &HostId, _| Via::Network);
        Guardians { tls, port, ipmi_port: 623, patience: Patience::default(), way, tell, bmcs: Mutex::default() }
    }

    /// The same with another UDP port of IPMI.
    pub fn with_ipmi_port(mut self, port: u16) -> Self {
        self.ipmi_port = port;
        self
    }

    /// The same with another way to a host's BMC at its address (simulations).
    pub fn by_way(mut self, way: impl Fn(&HostId, IpAddr) -> Via + Send + Sync + 'static) -> Self {
        self.way = Box::new(way);
        self
    }

    /// Carries out an action on a host's BMC, once.
    pub async fn perform(&self, action: &Action, world: &World) -> Result<Outcome, Fault> {
        let host = action.host().ok_or_else(|| Fault::permanent("NotForBmcs", "the action is about no host"))?;
        let spec = world.spec(host).ok_or_else(no_such_host)?;
        if !spec.has_bmc() && matches!(action, Action::Finish { .. }) {
            return Ok(Outcome::Finished(PowerState::Unknown));
        }
        let target = self.target(world, host)?;
        let order = order(action, world).ok_or_else(no_such_host)?;
        let lock = {
            let mut bmcs = self.bmcs.lock().unwrap_or_else(PoisonError::into_inner);
            bmcs.entry((target.address, target.port)).or_default().clone()
        };
        let _turn = lock.lock().await;
        if target.protocol == Protocol::Ipmi {
            return ipmi::carry_out(&ipmi::Conversation::new(target), &order).await;
        }
        self.by_redfish(target, world, &order).await
    }

    /// Journals the session before it is used, so that one left behind by a crash can be closed.
    async fn by_redfish(&self, target: Target, world: &World, order: &Order) -> Result<Outcome, Fault> {
        let (host, account) = (target.host.clone(), account(world, &target.host));
        let session = Session::open(target).await?;
        let uri = session.uri().map(str::to_owned).zip(account);
        if uri.is_some() {
            (self.tell)(Event::BmcSession { host: host.clone(), session: uri.clone() }).await;
        }
        let result = redfish::carry_out(&session, order).await;
        session.close().await;
        if uri.is_some() {
            (self.tell)(Event::BmcSession { host, session: None }).await;
        }
        result
    }

    /// Where and how to speak to a host's BMC.
    fn target(&self, world: &World, host: &HostId) -> Result<Target, Fault> {
        let spec = world.spec(host).ok_or_else(no_such_host)?;
        let none = Default::default();
        let facts = world.facts(host).unwrap_or(&none);
        if spec.bmc.protocol == Protocol::None {
            return Err(Fault::permanent("NoBmc", "the host has no BMC that can be driven"));
        }
        let address = spec.bmc.address.or(facts.bmc_seen.map(|(ip, _)| ip));
        let address = address.ok_or_else(|| Fault::transient("NoAddress", "the BMC's address is not known"))?;
        let credential = plan::bmc::credential(spec, facts).ok_or_else(|| {
            Fault::operator(Fault::AUTHENTICATION_FAILED, "the BMC has refused every account in the repository")
        })?;
        let pinned = spec.bmc.fingerprint.as_deref().map(str::to_owned).or_else(|| facts.pin.clone());
        let tls = match &self.tls {
            BmcTls::Pin => Tls::Pin(pinned),
            BmcTls::Ca(file) => Tls::Ca(file.clone()),
            BmcTls::Insecure => Tls::Insecure,
        };
        Ok(Target {
            host: host.clone(),
            address,
            port: self.port,
            ipmi_port: self.ipmi_port,
            protocol: spec.bmc.protocol,
            username: credential.username.clone(),
            password: credential.password.clone(),
            tls,
            patience: self.patience.clone(),
            via: (self.way)(host, address),
        })
    }
}

fn account(world: &World, host: &HostId) -> Option<Digest> {
    let credential = plan::bmc::credential(world.spec(host)?, world.facts(host)?)?;
    Some(credential.id.clone())
}

fn no_such_host() -> Fault {
    Fault::permanent("NoSuchHost", "the host has left the repository")
}

/// What an action of the plan asks of a BMC.
fn order(action: &Action, world: &World) -> Option<Order> {
    let spec = world.spec(action.host()?)?;
    let pending = world.facts(&spec.id).and_then(|facts| facts.bmc.pending.as_ref());
    Some(match action {
        Action::Probe { .. } => Order::Probe { boot_mac: spec.boot_mac },
        Action::Prepare { apply, .. } => {
            let pending = pending.map(|(pending, ..)| pending.clone());
            Order::Prepare { prepare: spec.prepare.clone(), apply: *apply, pending }
        }
        Action::Arm { .. } => Order::Arm { network_boot: spec.bmc.network_boot, mode: spec.bmc.boot_mode },
        Action::PowerCycle { .. } => Order::PowerCycle,
        Action::Finish { power_off, .. } => Order::Finish { power_off: *power_off },
        Action::Adopt
        | Action::Fetch
        | Action::FetchImage { .. }
        | Action::Publish { .. }
        | Action::Run { .. }
        | Action::Notify { .. } => return None,
    })
}
