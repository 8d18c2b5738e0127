//! BMCs: each order is carried out once, and what became of it is said. Nothing here decides or retries.
//!
//! | | |
//! |---|---|
//! | [`Guardians`] | the only door of the daemon to its BMCs: one operation at a time on each, sessions kept and closed |
//! | [`redfish`] | DMTF Redfish |
//! | [`ipmi`] | IPMI 2.0, through `ipmitool` |
//! | [`Turn`] | the right to speak to a BMC, among all processes of this machine |
//! | [`hand`] | what a person asks at the command line |
//! | [`Target`], [`Order`] | which BMC, and what it is told |

mod guardian;
pub mod hand;
pub mod ipmi;
pub mod redfish;
mod target;
mod turn;

pub use guardian::{Guardians, Limits, Tell};
pub use redfish::{BODY_CAP, Tls};
pub use target::{Order, Patience, Target, Via};
pub use turn::Turn;

use crate::model::{Fault, Outcome, Protocol};

/// Carries out one order in a conversation of its own.
pub async fn once(target: &Target, order: &Order) -> Result<Outcome, Fault> {
    if target.protocol == Protocol::Ipmi {
        return ipmi::carry_out(&ipmi::Conversation::new(target.clone()), order).await;
    }
    let session = redfish::Session::open(target.clone()).await?;
    let result = redfish::carry_out(&session, order).await;
    session.close().await;
    result
}
