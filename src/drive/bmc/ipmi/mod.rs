//! BMCs over IPMI 2.0, through the program `ipmitool -I lanplus`.
//!
//! | | |
//! |---|---|
//! | [`Conversation`] | one BMC, its account, and the cipher suite it takes; every call of the program |
//! | `refusal` | why a call failed: the account, the cipher suite, silence, or the command itself |
//! | [`answer`] | what the program prints, read |
//! | [`power`], [`boot`], [`look`], [`console()`] | what is done with it |
//!
//! A call is one IPMI session, opened and closed by the program; nothing is left behind when we crash.

pub mod answer;
pub mod boot;
mod console;
mod hand;
pub mod look;
pub mod power;
mod refusal;
mod tool;

pub use console::{close_console, console};
pub use hand::{boot_once, look as look_by_hand, power as power_by_hand};
pub use tool::{Call, Conversation};

use super::Order;
use crate::model::{DiskChoice, Fault, Outcome, PowerState, Preparation, Prepare, Protocol, Reason};

/// Carries out one order, within the target's time limit.
pub async fn carry_out(bmc: &Conversation, order: &Order) -> Result<Outcome, Fault> {
    let limit = bmc.target().patience.action;
    match tokio::time::timeout(limit, dispatch(bmc, order)).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("{} took longer than {} s altogether", bmc.who(), limit.as_secs());
            // Nobody knows how far it got: where the machine is started, it may be on its way.
            let reason = match order {
                Order::Arm { .. } | Order::PowerCycle => Reason::OutcomeUnknown,
                Order::Probe { .. } | Order::Prepare { .. } | Order::Finish { .. } => Reason::Unreachable,
            };
            Err(Fault::transient(reason, message))
        }
    }
}

async fn dispatch(bmc: &Conversation, order: &Order) -> Result<Outcome, Fault> {
    match order {
        Order::Probe { boot_mac } => {
            if boot_mac.is_none() {
                let message = format!("{}: IPMI tells no NIC of the machine: write config.boot_mac", bmc.who());
                // Only that it answers at all, with this account, is worth asking then.
                power::state(bmc).await?;
                return Err(Fault::permanent(Reason::NoBootMac, message));
            }
            let inventory = look::inventory(bmc, *boot_mac).await?;
            Ok(Outcome::Probed { inventory, pin: None, protocol: Protocol::Ipmi })
        }
        Order::Prepare { prepare, apply, .. } => self::prepare(bmc, prepare, *apply).await.map(Outcome::Prepared),
        Order::Arm { network_boot, mode } => {
            boot::from_network(bmc, *network_boot, *mode).await?;
            Ok(Outcome::Armed)
        }
        Order::PowerCycle => {
            boot::normally(bmc).await?;
            Ok(Outcome::PowerCycled)
        }
        Order::Finish { power_off } => finish(bmc, *power_off).await.map(Outcome::Finished),
    }
}

/// All that IPMI can prepare is the LED. What else is wanted is for a person to change.
async fn prepare(bmc: &Conversation, wanted: &Prepare, apply: bool) -> Result<Preparation, Fault> {
    let cannot = match () {
        () if wanted.disk != DiskChoice::Named => "choose a disk by its slot or make a RAID",
        () if !wanted.bios.is_empty() => "set BIOS attributes",
        () if !wanted.manager.is_empty() => "set attributes of the BMC",
        () => "",
    };
    if !cannot.is_empty() {
        let message = format!("{}: IPMI cannot {cannot}; do it by hand and take it out, or use Redfish", bmc.who());
        return Err(Fault::operator(Reason::NotPossibleOverIpmi, message));
    }
    let lit = if apply { identify(bmc, true).await? } else { true };
    let notes = if lit { Vec::new() } else { vec!["the BMC has no LED that IPMI can switch on".to_owned()] };
    Ok(Preparation { notes, ..Preparation::default() })
}

/// Switches the identify LED (IPMI 2.0 section 28.5): for good where the BMC can, else for the longest time there is.
/// Says whether the BMC did; one that has none is no reason to stop.
pub async fn identify(bmc: &Conversation, on: bool) -> Result<bool, Fault> {
    let ways: &[&str] = if on { &["force", "255"] } else { &["0"] };
    for way in ways {
        match bmc.look(&["chassis", "identify", way]).await {
            Ok(_) => return Ok(true),
            Err(fault) if refusal::declined(&fault) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(false)
}

async fn finish(bmc: &Conversation, power_off: bool) -> Result<PowerState, Fault> {
    identify(bmc, false).await?;
    match power_off {
        true => power::shut_down(bmc).await,
        false => power::state(bmc).await,
    }
}
