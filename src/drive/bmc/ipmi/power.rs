//! Power over IPMI: ordered, then verified.

use super::answer;
use super::tool::{Ipmitool, Kind};
use crate::model::{Fault, FaultClass, PowerState, Reason};

/// What Chassis Control is told (IPMI 2.0 section 28.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    On,
    /// Power down, at once.
    Off,
    /// Ask the operating system to shut down (emulated fatal overtemperature).
    Soft,
    Reset,
}

impl Control {
    fn word(self) -> &'static str {
        match self {
            Control::On => "on",
            Control::Off => "off",
            Control::Soft => "soft",
            Control::Reset => "reset",
        }
    }
}

pub async fn state(bmc: &Ipmitool) -> Result<PowerState, Fault> {
    Ok(answer::power(&bmc.look(&["chassis", "power", "status"]).await?))
}

/// Gives one order, once; what it leads to is for the caller to see.
pub async fn control(bmc: &Ipmitool, control: Control) -> Result<(), Fault> {
    bmc.call(Kind::Act, &["chassis", "power", control.word()]).await.map(drop)
}

/// Waits until a state is reached; says whether it was.
async fn wait(bmc: &Ipmitool, wanted: PowerState, limit: std::time::Duration) -> Result<bool, Fault> {
    let poll = bmc.endpoint().timeouts.poll;
    for _ in 0..=limit.as_millis() / poll.as_millis().max(1) {
        if state(bmc).await? == wanted {
            return Ok(true);
        }
        tokio::time::sleep(poll).await;
    }
    Ok(false)
}

async fn must_reach(bmc: &Ipmitool, wanted: PowerState) -> Result<(), Fault> {
    if wait(bmc, wanted, bmc.endpoint().timeouts.power).await? {
        return Ok(());
    }
    let word = if wanted == PowerState::On { "on" } else { "off" };
    Err(Fault::transient(Reason::PowerStateNotReached, format!("{}: the machine did not switch {word}", bmc.who())))
}

/// Cuts power, and sees that it is off.
pub async fn off(bmc: &Ipmitool) -> Result<(), Fault> {
    if state(bmc).await? == PowerState::Off {
        return Ok(());
    }
    order(bmc, Control::Off, PowerState::Off).await
}

/// Switches it on, and sees that it is. Whatever goes wrong from here on, the machine may be on its way: starting it
/// again at once could interrupt the very boot that was ordered.
pub async fn on(bmc: &Ipmitool) -> Result<(), Fault> {
    order(bmc, Control::On, PowerState::On).await.map_err(|fault| match fault.class {
        FaultClass::Transient => Fault::transient(Reason::OutcomeUnknown, fault.message),
        FaultClass::Permanent | FaultClass::Operator => fault,
    })
}

/// An order is refused by some BMCs when there is nothing left to do; only the state counts.
async fn order(bmc: &Ipmitool, what: Control, wanted: PowerState) -> Result<(), Fault> {
    match control(bmc, what).await {
        Err(fault) if fault.class == FaultClass::Permanent && state(bmc).await? != wanted => Err(fault),
        Err(fault) if fault.class == FaultClass::Operator => Err(fault),
        Err(fault) if fault.class == FaultClass::Transient => Err(fault),
        _ => must_reach(bmc, wanted).await,
    }
}

/// Asks the operating system to shut down, and sees that it did.
pub(super) async fn soft(bmc: &Ipmitool) -> Result<(), Fault> {
    control(bmc, Control::Soft).await?;
    let limit = bmc.endpoint().timeouts.graceful;
    if wait(bmc, PowerState::Off, limit).await? {
        return Ok(());
    }
    let message =
        format!("the operating system has not shut down within {} s; `power off` cuts power", limit.as_secs());
    Err(Fault::transient(Reason::StillOn, format!("{}: {message}", bmc.who())))
}

/// Shuts down: asked first, if the BMC can ask and the machine is willing in time, else by cutting power.
pub async fn shut_down(bmc: &Ipmitool) -> Result<PowerState, Fault> {
    if state(bmc).await? == PowerState::Off {
        return Ok(PowerState::Off);
    }
    match control(bmc, Control::Soft).await {
        Ok(()) => {
            if wait(bmc, PowerState::Off, bmc.endpoint().timeouts.graceful).await? {
                return Ok(PowerState::Off);
            }
        }
        Err(fault) if fault.class == FaultClass::Permanent => {}
        Err(fault) => return Err(fault),
    }
    off(bmc).await?;
    Ok(PowerState::Off)
}
