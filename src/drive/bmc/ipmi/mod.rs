//! BMCs over IPMI 2.0, through the program `ipmitool -I lanplus`.
//!
//! | | |
//! |---|---|
//! | [`Ipmitool`] | every call of the program: one BMC, its account, and the cipher suite it takes |
//! | `refusal` | why a call failed: the account, the cipher suite, silence, or the command itself |
//! | [`answer`] | what the program prints, read |
//! | [`power`], [`boot`], [`look`], [`Console`] | what is done with it |
//!
//! A call is one IPMI session, opened and closed by the program; nothing is left behind when we crash.

pub mod answer;
pub mod boot;
mod console;
pub mod look;
pub(super) mod manual;
pub mod power;
mod refusal;
mod tool;

pub use console::Console;
pub use tool::Ipmitool;

use super::order::Order;
use crate::model::{DiskChoice, Fault, Outcome, PowerState, Preparation, Prepare, Protocol, Reason};

/// Carries out one order, within the endpoint's time limit.
pub async fn carry_out(bmc: &Ipmitool, order: &Order) -> Result<Outcome, Fault> {
    bmc.endpoint().within(dispatch(bmc, order)).await.map_err(|fault| match order {
        // Nobody knows how far it got: the machine may be starting.
        Order::Arm { .. } | Order::PowerCycle if fault.reason == Reason::BmcTooSlow => {
            Fault::transient(Reason::OutcomeUnknown, fault.message)
        }
        _ => fault,
    })
}

async fn dispatch(bmc: &Ipmitool, order: &Order) -> Result<Outcome, Fault> {
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
async fn prepare(bmc: &Ipmitool, wanted: &Prepare, apply: bool) -> Result<Preparation, Fault> {
    let cannot = [
        (wanted.disk != DiskChoice::Named, "choose a disk by its slot or make a RAID", "config.system_disks"),
        (!wanted.bios.is_empty(), "set BIOS attributes", "bmc.bios_settings"),
        (!wanted.manager.is_empty(), "set attributes of the BMC", "bmc.manager_settings"),
    ];
    if let Some((_, what, key)) = cannot.iter().find(|(asked, ..)| *asked) {
        let message = format!(
            "{}: IPMI cannot {what}; do it by hand and take {key} out of bootstrap.yml, or use Redfish",
            bmc.who()
        );
        return Err(Fault::operator(Reason::NotPossibleOverIpmi, message));
    }
    let lit = if apply { identify(bmc, true).await? } else { true };
    let notes = if lit { Vec::new() } else { vec!["the BMC has no LED that IPMI can switch on".to_owned()] };
    Ok(Preparation { notes, ..Preparation::default() })
}

/// Switches the identify LED (IPMI 2.0 section 28.5): for good where the BMC can, else for the longest time there is.
/// Says whether the BMC did; one that has none is no reason to stop.
pub async fn identify(bmc: &Ipmitool, on: bool) -> Result<bool, Fault> {
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

async fn finish(bmc: &Ipmitool, power_off: bool) -> Result<PowerState, Fault> {
    identify(bmc, false).await?;
    match power_off {
        true => power::shut_down(bmc).await,
        false => power::state(bmc).await,
    }
}
