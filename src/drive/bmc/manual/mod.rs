//! What an operator asks of a BMC at the command line: a look that changes nothing, its power, a one-shot boot device, the
//! serial console. Every command takes the BMC's lock first, so that none overlaps with an operation of the daemon.

use std::time::Duration;

use super::endpoint::Endpoint;
use super::ipmi::{self, Ipmitool};
use super::lock::BmcLock;
use super::protocol::{Spoken, via_redfish_or_ipmi};
use super::redfish::{self, Session};
use crate::model::{Fault, PowerState, Protocol, Reason};

pub mod types;

use types::{Boot, Depth, Device, Look, Power};

/// How long a BMC that is in use is waited for, before the operator is told and then altogether. A daemon keeps its
/// session, and with it the lock, for [`Limits::idle`](super::Limits::idle).
const WAIT: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(40)];

/// A BMC that nobody else speaks to.
struct Connection {
    spoken: Spoken<Session>,
    _lock: Option<BmcLock>,
}

impl Connection {
    async fn open(endpoint: &Endpoint) -> Result<Connection, Fault> {
        let lock = lock(endpoint).await?;
        let spoken = via_redfish_or_ipmi(endpoint, Session::open(endpoint.clone())).await?;
        Ok(Connection { spoken, _lock: lock })
    }

    /// Ends the session, whatever became of the command.
    async fn close<T>(self, result: Result<T, Fault>) -> Result<T, Fault> {
        if let Spoken::Redfish(session) = self.spoken {
            session.close().await;
        }
        result
    }
}

async fn lock(endpoint: &Endpoint) -> Result<Option<BmcLock>, Fault> {
    match endpoint.lock(WAIT[0]).await {
        Err(fault) if fault.reason == Reason::BmcInUse => {
            tracing::warn!("{} is in use; waiting for at most {} s", endpoint.who(), WAIT[1].as_secs());
            endpoint.lock(WAIT[1]).await
        }
        other => other,
    }
}

/// Reads everything and changes nothing.
pub async fn look(endpoint: &Endpoint, depth: Depth) -> Result<Look, Fault> {
    let connection = Connection::open(endpoint).await?;
    let work = async {
        match &connection.spoken {
            Spoken::Ipmi(bmc, _) => ipmi::manual::look(bmc, depth).await,
            Spoken::Redfish(session) => redfish::manual::look(session, depth).await,
        }
    };
    let result = endpoint.within(work).await;
    connection.close(result).await
}

/// Switches, waits until it is so, and gives the power state that was read back.
pub async fn power(endpoint: &Endpoint, power: Power) -> Result<PowerState, Fault> {
    let connection = Connection::open(endpoint).await?;
    let work = async {
        match &connection.spoken {
            Spoken::Ipmi(bmc, _) => ipmi::manual::power(bmc, power).await,
            Spoken::Redfish(session) => redfish::manual::power(session, power).await,
        }
    };
    let result = endpoint.within(work).await;
    connection.close(result).await
}

/// Sets or clears the one-shot boot device and reads it back. Nothing is restarted.
pub async fn boot(endpoint: &Endpoint, device: Device) -> Result<Boot, Fault> {
    let connection = Connection::open(endpoint).await?;
    let work = async {
        match &connection.spoken {
            Spoken::Ipmi(bmc, _) => ipmi::manual::boot_once(bmc, device).await,
            Spoken::Redfish(session) => redfish::manual::boot_once(session, device).await,
        }
    };
    let result = endpoint.within(work).await;
    connection.close(result).await
}

/// Frees the serial console, which only IPMI has: a client that was killed leaves it open. The lock is held for this only.
pub async fn console(endpoint: &Endpoint) -> Result<ipmi::Console, Fault> {
    let _lock = lock(endpoint).await?;
    ipmi::Console::free(Ipmitool::new(Endpoint { protocol: Protocol::Ipmi, ..endpoint.clone() })).await
}
