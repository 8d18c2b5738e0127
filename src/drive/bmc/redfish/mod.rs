//! BMCs over Redfish (DMTF DSP0266, DSP0268).
//!
//! Whatever a service leaves out or sets to null is done without, unless the action cannot do without it.

use serde_json::Value;

use super::Order;
use crate::model::{Fault, Outcome, Protocol};

mod attributes;
mod boot;
mod collection;
mod compare;
mod detect;
mod disk;
mod exchange;
mod fault;
mod hand;
mod inventory;
mod led;
mod nics;
mod prepare;
mod quirk;
mod raid;
mod session;
mod storage;
mod system;
mod task;
mod tls;
mod wire;

pub use exchange::BODY_CAP;
pub use hand::{boot_once, look, power};
pub use session::Session;
pub use tls::Tls;
pub use wire::{Broken, Exchange, Local, Request, Response};

/// Carries out one order in an open session, within the target's time limit.
pub async fn carry_out(session: &Session, order: &Order) -> Result<Outcome, Fault> {
    session.within(dispatch(session, order)).await
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

fn link(value: &Value) -> Option<&str> {
    value["@odata.id"].as_str()
}

fn strings(value: &Value) -> Option<Vec<String>> {
    Some(value.as_array()?.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

/// A text that says something: not null, not blank, at most 200 printable characters.
fn text(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.trim().chars().filter(|c| !c.is_control()).take(200).collect();
    (!text.is_empty()).then_some(text)
}
