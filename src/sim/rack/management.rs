//! A BMC's side of the network: its lease, its TLS service, its certificate.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Command;
use crate::model::Mac;
use crate::sim::actor;
use crate::sim::https::Identity;
use crate::sim::machine::DhcpClient;
use crate::sim::wire::{self, Relay};

/// How long a BMC waits before it asks for an address again.
const BMC_RETRY: Duration = Duration::from_millis(500);
/// How long a BMC waits for an address.
const BMC_PATIENCE: Duration = Duration::from_secs(4);

/// What a BMC needs to be on the network.
pub(super) struct Management {
    pub relay: Relay,
    pub mac: Mac,
    pub port: u16,
    pub name: String,
    pub door: mpsc::Sender<Command>,
}

/// A BMC's network side: gets an address, serves there, keeps the address.
pub(super) async fn run_bmc(side: Management, mut identity: Identity, mut certificate: watch::Receiver<u32>) {
    let Management { relay, mac, port, name, door } = side;
    let mut had = None;
    loop {
        let Ok(leased) = wire::lease(relay, mac, DhcpClient::Os, had, BMC_PATIENCE).await else {
            tokio::time::sleep(BMC_RETRY).await;
            continue;
        };
        let ip = leased.ack.ip;
        had = Some(ip);
        let served = actor::serve(SocketAddrV4::new(ip, port), &identity, door.downgrade(), Command::Redfish);
        let Ok((stop, server)) = served else {
            tracing::warn!(%ip, port, "a simulated BMC cannot listen there");
            tokio::time::sleep(BMC_RETRY).await;
            continue;
        };
        if door.send(Command::BmcAddress(ip)).await.is_err() {
            return;
        }
        let renew = async {
            while certificate.changed().await.is_ok() {
                let Ok(other) = Identity::generate(&name) else { return };
                stop.show(&other);
                identity = other;
            }
            std::future::pending().await
        };
        tokio::select! {
            _ = server => {}
            () = keep(relay, mac, ip, leased.time) => {}
            () = renew => {}
        }
    }
}

/// Renews a lease at half its time; ends when it is lost.
async fn keep(relay: Relay, mac: Mac, ip: Ipv4Addr, time: Duration) {
    let mut left = time;
    loop {
        let pause = left / 2;
        tokio::time::sleep(pause.max(BMC_RETRY)).await;
        left = match wire::lease(relay, mac, DhcpClient::Os, Some(ip), BMC_PATIENCE).await {
            Ok(leased) if leased.ack.ip == ip => leased.time,
            Ok(_) => return,
            Err(_) => left.saturating_sub(pause),
        };
        if left < BMC_RETRY {
            return;
        }
    }
}
