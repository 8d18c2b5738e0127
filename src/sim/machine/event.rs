//! What a machine is, what happens to it, and what it asks for.
#![allow(missing_docs, reason = "the names say the rest")]

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::model::Mac;
use crate::sim::fault::FaultPlan;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Power-on self test, until the firmware looks for something to boot.
    pub post: Duration,
    /// How long firmware, iPXE and installer wait for an answer from the network.
    pub network: Duration,
    /// Kernel and live system, until the installer asks for its answer file.
    pub live_boot: Duration,
    /// The installer's window to cancel, between answer file and `install-start` (15 s in pvc-installer).
    pub cancel_window: Duration,
    pub write: Duration,
    /// Between `install-complete` and the reboot (10 s in pvc-installer).
    pub before_reboot: Duration,
    /// Until a failed installer starts over (15 s in pvc-installer).
    pub restart: Duration,
    /// The installed system's boot, until it asks for an address.
    pub os_boot: Duration,
    /// Between address and boot check-in (30 s in pvc-installer's script).
    pub settle: Duration,
    /// Between the boot check-in and the time at which sshd answers.
    pub sshd: Duration,
    pub shutdown: Duration,
    /// Until firmware that found nothing to boot tries again.
    pub retry: Duration,
    /// How late a late check-in is.
    pub late: Duration,
    /// How long power is gone in a power blip.
    pub blip: Duration,
}

impl Timings {
    /// Real servers, for tests with virtual time.
    pub fn real() -> Self {
        let secs = Duration::from_secs;
        Timings {
            post: secs(120),
            network: secs(60),
            live_boot: secs(45),
            cancel_window: secs(15),
            write: secs(300),
            before_reboot: secs(10),
            restart: secs(15),
            os_boot: secs(40),
            settle: secs(30),
            sshd: secs(5),
            shutdown: secs(20),
            retry: secs(30),
            late: secs(420),
            blip: secs(2),
        }
    }

    /// A whole install in about two seconds, for people who watch.
    pub fn quick() -> Self {
        let ms = Duration::from_millis;
        Timings {
            post: ms(200),
            network: ms(5_000),
            live_boot: ms(200),
            cancel_window: ms(100),
            write: ms(500),
            before_reboot: ms(100),
            restart: ms(300),
            os_boot: ms(200),
            settle: ms(200),
            sshd: ms(50),
            shutdown: ms(200),
            retry: ms(500),
            late: ms(1_500),
            blip: ms(100),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// DHCP architecture 7; `exit` is how iPXE scripts get to the disk.
    Uefi,
    /// As UEFI, but network boot is HTTP Boot: DHCP architecture 16, and the answer must say `HTTPClient` too.
    UefiHttp,
    /// DHCP architecture 0; `sanboot` works.
    Bios,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootOrder {
    DiskFirst,
    NetworkFirst,
}

/// What a machine is, and how it misbehaves.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    pub name: String,
    /// The BMC's MAC, when there is one.
    pub bmc_mac: Option<Mac>,
    /// The NIC it boots from.
    pub boot_mac: Mac,
    pub firmware: Firmware,
    pub order: BootOrder,
    /// Whether the NIC loads iPXE by TFTP; otherwise iPXE is in its ROM.
    pub loads_ipxe: bool,
    pub timings: Timings,
    pub faults: FaultPlan,
}

impl MachineConfig {
    /// An ordinary machine: UEFI, disk first, iPXE in its ROM, no faults.
    pub fn new(name: &str, bmc_mac: Option<Mac>, boot_mac: Mac, timings: Timings) -> Self {
        let (firmware, order) = (Firmware::Uefi, BootOrder::DiskFirst);
        let faults = FaultPlan::none();
        MachineConfig { name: name.into(), bmc_mac, boot_mac, firmware, order, loads_ipxe: false, timings, faults }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    Blank,
    /// Half of something: wiped, and not written to the end.
    Installing {
        /// The token in the check-in URI of the install, when there is one.
        token: Option<String>,
    },
    Installed {
        /// The token in the check-in URI of the install, when there is one.
        token: Option<String>,
    },
}

/// A boot override as set by the BMC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// Network (`Pxe`) rather than disk (`Hdd`).
    pub network: bool,
    /// Only for the next start.
    pub once: bool,
}

/// Where the machine is. For people and tests; the details are the machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Off,
    Post,
    /// Network boot, from DHCP to the end of the boot script.
    NetworkBoot,
    Installer,
    OsBoot,
    Running,
    ShuttingDown,
    /// Firmware found nothing to boot.
    NoBootDevice,
    /// Stopped for good, until somebody resets it.
    Hung,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Off => "off",
            Stage::Post => "post",
            Stage::NetworkBoot => "network-boot",
            Stage::Installer => "installer",
            Stage::OsBoot => "os-boot",
            Stage::Running => "running",
            Stage::ShuttingDown => "shutting-down",
            Stage::NoBootDevice => "no-boot-device",
            Stage::Hung => "hung",
        }
    }
}

/// What somebody does to the machine's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// On; nothing when it is.
    On,
    ForceOff,
    /// ACPI shutdown; only a running system listens.
    GracefulShutdown,
    /// Reset; nothing when it is off.
    ForceRestart,
    /// The button: on when off, graceful shutdown when on.
    PushButton,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub ip: Ipv4Addr,
    /// Where boot files come from.
    pub next_server: Ipv4Addr,
    /// Boot file name or URL.
    pub file: Option<String>,
}

/// What happens to the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum MachineEvent {
    Power(Power),
    /// The BMC sets or clears the boot override.
    SetOverride(Option<Override>),
    /// Answer to [`Effect::Dhcp`].
    Dhcp {
        id: u64,
        /// The lease; `None` when there was none.
        ack: Option<Ack>,
    },
    /// Answer to [`Effect::Tftp`].
    Tftp {
        id: u64,
        /// The file, or the reason.
        result: Result<Vec<u8>, String>,
    },
    /// Answer to [`Effect::Http`] and [`Effect::CheckIn`].
    Http {
        id: u64,
        /// Status and body, or the reason why there is none.
        result: Result<(u16, Vec<u8>), String>,
    },
    /// Ansible's roles began on the installed system: its next boot reports `system-boot_configured`.
    Configured,
    /// Somebody puts another disk in.
    ReplaceDisk,
    /// Time has passed.
    Timer,
}

/// Who asks for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpClient {
    /// PXE firmware, with its architecture (option 93).
    Pxe(u16),
    /// UEFI HTTP Boot firmware, with its architecture.
    Http(u16),
    /// iPXE (option 175), with its architecture.
    Ipxe(u16),
    Os,
}

/// What the machine asks of the world. Every request but a check-in's is answered with an event of the same number.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// DISCOVER, OFFER, REQUEST, ACK.
    Dhcp {
        id: u64,
        mac: Mac,
        client: DhcpClient,
        /// The address it had, if any.
        requested: Option<Ipv4Addr>,
    },
    Tftp {
        id: u64,
        from: Ipv4Addr,
        /// Server, with port when the URL named one.
        server: String,
        name: String,
    },
    Http {
        id: u64,
        from: Ipv4Addr,
        url: String,
    },
    CheckIn {
        id: u64,
        from: Ipv4Addr,
        uri: String,
        body: Value,
    },
}
