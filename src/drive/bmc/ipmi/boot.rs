//! The boot override over IPMI: System Boot Options (IPMI 2.0 sections 28.12 and 28.13), as raw bytes. The program's own
//! `chassis bootdev` loses one of `efiboot` and `persistent` when both are asked for, up to version 1.8.18
//! (ipmitool issue 163).

use super::super::endpoint::READBACKS;
pub use super::answer::{BootFlags, Device};
use super::power;
use super::refusal;
use super::tool::Ipmitool;
use crate::model::{BootMode, Fault, FaultClass, NetworkBoot, PowerState, Reason};

/// The flags as they are. Nothing when the BMC does not say.
pub async fn flags(bmc: &Ipmitool) -> Result<Option<BootFlags>, Fault> {
    match bmc.look(&["raw", "0x00", "0x09", "0x05", "0x00", "0x00"]).await {
        Ok(raw) => Ok(BootFlags::read(&raw)),
        Err(fault) if fault.class == FaultClass::Permanent => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Sets the flags and reads them back. Only the device must be kept: firmware is known that drops the other bits, which
/// is told in the log.
pub async fn set(bmc: &Ipmitool, wanted: BootFlags) -> Result<(), Fault> {
    // Parameter 3: a BMC otherwise forgets the flags after 60 seconds without a start, and at some starts. It may refuse.
    optional(bmc, &["raw", "0x00", "0x08", "0x03", "0x1f"], "keeps its own time for boot flags").await?;
    // Parameter 4: to the firmware, this is news (table 28-14, boot info acknowledge).
    optional(bmc, &["raw", "0x00", "0x08", "0x04", "0x01", "0x01"], "takes no boot info acknowledge").await?;
    let bytes = wanted.bytes().map(|byte| format!("{byte:#04x}"));
    let mut command = vec!["raw", "0x00", "0x08", "0x05"];
    command.extend(bytes.iter().map(String::as_str));
    bmc.look(&command).await?;
    for _ in 0..READBACKS {
        let Some(read) = flags(bmc).await? else {
            tracing::warn!(host = %bmc.endpoint().host, "the BMC does not let its boot flags be read back");
            return Ok(());
        };
        if read.device == wanted.device {
            if read != wanted {
                let host = &bmc.endpoint().host;
                tracing::warn!(%host, ?wanted, ?read, "the BMC kept the boot device and not every boot flag");
            }
            return Ok(());
        }
        tokio::time::sleep(bmc.endpoint().timeouts.poll).await;
    }
    let message = format!("{}: the boot flags were taken and do not read back", bmc.who());
    Err(Fault::transient(Reason::BootOverrideNotKept, message))
}

/// Something that is good to have: a refusal is told in the log.
async fn optional(bmc: &Ipmitool, command: &[&str], otherwise: &str) -> Result<(), Fault> {
    match bmc.look(command).await {
        Err(fault) if refusal::declined(&fault) => {
            tracing::debug!(host = %bmc.endpoint().host, refused = fault.message, "the BMC {otherwise}");
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Sets a one-shot network boot and starts or restarts the machine.
pub(super) async fn from_network(bmc: &Ipmitool, how: NetworkBoot, mode: BootMode) -> Result<(), Fault> {
    if how == NetworkBoot::Http {
        let message = format!("{}: IPMI can order PXE, not UEFI HTTP boot", bmc.who());
        return Err(Fault::operator(Reason::HttpBootNotSupported, message));
    }
    let efi = match mode {
        BootMode::Uefi => true,
        BootMode::Legacy => false,
        // The bit has no third value: as it was, else as today's machines are.
        BootMode::AsIs => flags(bmc).await?.filter(|flags| flags.valid).is_none_or(|flags| flags.efi),
    };
    let wanted = BootFlags { valid: true, persistent: false, efi, device: Device::Pxe };
    set(bmc, wanted).await?;
    if power::state(bmc).await? != PowerState::Off {
        power::off(bmc).await?;
        // Some BMCs forget the flags when power goes.
        if flags(bmc).await?.is_some_and(|flags| flags.device != Device::Pxe) {
            set(bmc, wanted).await?;
        }
    }
    power::on(bmc).await
}

/// Clears the override and starts or restarts the machine.
pub(super) async fn normally(bmc: &Ipmitool) -> Result<(), Fault> {
    let none = BootFlags { valid: false, persistent: false, efi: false, device: Device::None };
    if flags(bmc).await?.is_none_or(|flags| flags.valid || flags.device != Device::None) {
        set(bmc, none).await?;
    }
    power::off(bmc).await?;
    power::on(bmc).await
}
