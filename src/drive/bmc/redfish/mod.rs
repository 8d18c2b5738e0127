//! BMCs over Redfish (DMTF DSP0266, DSP0268).
//!
//! Whatever a service leaves out or sets to null is done without, unless the action cannot do without it.

mod attributes;
mod boot;
mod client;
mod collection;
mod compare;
mod detect;
mod disk;
mod error;
mod inventory;
mod json;
mod led;
mod login;
pub(super) mod manual;
mod nics;
mod prepare;
mod progress;
mod quirk;
mod raid;
mod requests;
mod session;
mod storage;
mod system;
mod task;
mod tls;
mod work;

pub use session::Session;

use super::order::Order;
use crate::model::{Fault, Outcome, Protocol};

/// Carries out one order in an open session, within the endpoint's time limit.
pub async fn carry_out(session: &Session, order: &Order) -> Result<Outcome, Fault> {
    session.endpoint().within(dispatch(session, order)).await
}

async fn dispatch(session: &Session, order: &Order) -> Result<Outcome, Fault> {
    match order {
        Order::Probe { boot_mac } => {
            let inventory = inventory::inventory(session, *boot_mac).await?;
            Ok(Outcome::Probed { inventory, pin: session.pin(), protocol: Protocol::Redfish })
        }
        Order::Prepare { prepare, apply, pending } => {
            prepare::prepare(session, prepare, *apply, pending.as_ref()).await.map(Outcome::Prepared)
        }
        Order::Arm { network_boot, mode } => {
            boot::boot_from_network(session, *network_boot, *mode).await?;
            Ok(Outcome::Armed)
        }
        Order::PowerCycle => {
            boot::boot_normally(session).await?;
            Ok(Outcome::PowerCycled)
        }
        Order::Finish { power_off } => boot::wind_down(session, *power_off).await.map(Outcome::Finished),
    }
}
