//! One order to one BMC, in a conversation of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rackwright::drive::bmc::{Order, Patience, Target, Tls, Via, once};
use rackwright::model::{
    BootMode, Fault, Inventory, Mac, NetworkBoot, Outcome, PowerState, Preparation, Prepare, Protocol, Secret,
};

pub const PASSWORD: &str = "correct horse";

/// A BMC at this port of the loopback, whom nobody waits for long.
pub fn target(port: u16) -> Target {
    let ms = Duration::from_millis;
    Target {
        host: "cluster1/hv1".parse().unwrap(),
        protocol: Protocol::Redfish,
        via: Via::Network,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port,
        ipmi_port: 623,
        username: "root".into(),
        password: Secret::new(PASSWORD),
        tls: Tls::Pin(None),
        patience: Patience { request: ms(3000), action: ms(8000), power: ms(200), graceful: ms(100), poll: ms(10) },
    }
}

pub async fn probe(target: &Target, boot_mac: Option<Mac>) -> Result<(Inventory, Option<String>), Fault> {
    match once(target, &Order::Probe { boot_mac }).await? {
        Outcome::Probed { inventory, pin, .. } => Ok((inventory, pin)),
        other => panic!("{other:?}"),
    }
}

/// Brings about what is wanted, or begins it.
pub async fn prepare_as(target: &Target, prepare: Prepare) -> Result<Preparation, Fault> {
    match once(target, &Order::Prepare { prepare: Arc::new(prepare), apply: true, pending: None }).await? {
        Outcome::Prepared(preparation) => Ok(preparation),
        other => panic!("{other:?}"),
    }
}

pub async fn prepare(target: &Target) -> Result<Preparation, Fault> {
    prepare_as(target, Prepare::default()).await
}

pub async fn arm(target: &Target, mode: BootMode) -> Result<(), Fault> {
    once(target, &Order::Arm { network_boot: NetworkBoot::Pxe, mode }).await.map(|outcome| {
        assert_eq!(outcome, Outcome::Armed);
    })
}

pub async fn power_cycle(target: &Target) -> Result<(), Fault> {
    once(target, &Order::PowerCycle).await.map(|outcome| assert_eq!(outcome, Outcome::PowerCycled))
}

pub async fn finish(target: &Target, power_off: bool) -> Result<PowerState, Fault> {
    match once(target, &Order::Finish { power_off }).await? {
        Outcome::Finished(power) => Ok(power),
        other => panic!("{other:?}"),
    }
}
