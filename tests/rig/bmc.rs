//! One order to one BMC, in a session of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rackwright::drive::bmc::ipmi::{self, Ipmitool};
use rackwright::drive::bmc::redfish::{self, Session};
use rackwright::drive::bmc::{Endpoint, Order, Timeouts};
use rackwright::model::{
    BootMode, Fault, Inventory, Mac, NetworkBoot, Outcome, PowerState, Preparation, Prepare, Protocol, Secret,
};

pub const PASSWORD: &str = "correct horse";

/// A BMC at this port of the loopback, whom nobody waits for long.
pub fn target(port: u16) -> Endpoint {
    let ms = Duration::from_millis;
    let (host, address) = ("cluster1/hv1".parse().unwrap(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    Endpoint {
        protocol: Protocol::Redfish,
        port,
        timeouts: Timeouts { request: ms(3000), action: ms(8000), power: ms(200), graceful: ms(100), poll: ms(10) },
        ..Endpoint::new(host, address, "root", Secret::new(PASSWORD))
    }
}

/// Carries out one order in a session of its own.
pub async fn once(endpoint: &Endpoint, order: &Order) -> Result<Outcome, Fault> {
    if endpoint.protocol == Protocol::Ipmi {
        return ipmi::carry_out(&Ipmitool::new(endpoint.clone()), order).await;
    }
    let session = Session::open(endpoint.clone()).await?;
    let result = redfish::carry_out(&session, order).await;
    session.close().await;
    result
}

pub async fn probe(target: &Endpoint, boot_mac: Option<Mac>) -> Result<(Inventory, Option<String>), Fault> {
    match once(target, &Order::Probe { boot_mac }).await? {
        Outcome::Probed { inventory, pin, .. } => Ok((inventory, pin)),
        other => panic!("{other:?}"),
    }
}

/// Brings about what is wanted, or begins it.
pub async fn prepare_as(target: &Endpoint, prepare: Prepare) -> Result<Preparation, Fault> {
    match once(target, &Order::Prepare { prepare: Arc::new(prepare), apply: true, pending: None }).await? {
        Outcome::Prepared(preparation) => Ok(preparation),
        other => panic!("{other:?}"),
    }
}

pub async fn prepare(target: &Endpoint) -> Result<Preparation, Fault> {
    prepare_as(target, Prepare::default()).await
}

pub async fn arm(target: &Endpoint, mode: BootMode) -> Result<(), Fault> {
    once(target, &Order::Arm { network_boot: NetworkBoot::Pxe, mode }).await.map(|outcome| {
        assert_eq!(outcome, Outcome::Armed);
    })
}

pub async fn power_cycle(target: &Endpoint) -> Result<(), Fault> {
    once(target, &Order::PowerCycle).await.map(|outcome| assert_eq!(outcome, Outcome::PowerCycled))
}

pub async fn finish(target: &Endpoint, power_off: bool) -> Result<PowerState, Fault> {
    match once(target, &Order::Finish { power_off }).await? {
        Outcome::Finished(power) => Ok(power),
        other => panic!("{other:?}"),
    }
}
