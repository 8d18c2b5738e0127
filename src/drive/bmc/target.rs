//! Which BMC, how it is spoken to, and what it is told.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::redfish::{Local, Tls};
use crate::model::{
    BootMode, Credential, HostFacts, HostId, HostSpec, Mac, NetworkBoot, Pending, Prepare, Protocol, Secret,
};
use crate::plan;
use crate::settings::BmcTls;

/// Which BMC, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whose BMC, for messages.
    pub host: HostId,
    /// Its address.
    pub address: IpAddr,
    /// HTTPS port, 443 on real hardware.
    pub port: u16,
    /// IPMI's UDP port, 623 on real hardware.
    pub ipmi_port: u16,
    /// What it is spoken to in; `Auto` finds out.
    pub protocol: Protocol,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// How its certificate is checked.
    pub tls: Tls,
    /// How long to wait.
    pub patience: Patience,
    /// Which way it is reached.
    pub via: Via,
}

impl Target {
    /// A host's BMC at this address, as the repository and what was observed say; the same for the daemon and for people.
    pub fn new(spec: &HostSpec, facts: &HostFacts, address: IpAddr, credential: &Credential, tls: &BmcTls) -> Self {
        Target {
            host: spec.id.clone(),
            address,
            port: 443,
            ipmi_port: 623,
            protocol: plan::bmc::protocol(spec, facts),
            username: credential.username.clone(),
            password: credential.password.clone(),
            tls: match tls {
                BmcTls::Pin => Tls::Pin(plan::bmc::pin(spec, facts)),
                BmcTls::Ca(file) => Tls::Ca(file.clone()),
                BmcTls::Insecure => Tls::Insecure,
            },
            patience: Patience::default(),
            via: Via::Network,
        }
    }
}

/// Which way a BMC is reached.
#[derive(Clone, Debug, Default)]
pub enum Via {
    /// Over the network.
    #[default]
    Network,
    /// Within the process: simulated BMCs.
    Local(Arc<dyn Local>),
}

/// How long to wait for a BMC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one answer.
    pub request: Duration,
    /// For all of one action.
    pub action: Duration,
    /// For a power state to be reached.
    pub power: Duration,
    /// For a graceful shutdown, before power is cut.
    pub graceful: Duration,
    /// Between two looks at the power state.
    pub poll: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Patience { request: secs(15), action: secs(120), power: secs(40), graceful: secs(60), poll: secs(2) }
    }
}

/// What a BMC is to do: an action of the plan with all that it needs, whatever the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Say who and what the machine is.
    Probe {
        /// The NIC written in the repository, which wins over any guess.
        boot_mac: Option<Mac>,
    },
    /// LED on; disks, BIOS and BMC as wanted.
    Prepare {
        /// What is wanted.
        prepare: Arc<Prepare>,
        /// Whether anything may be changed; otherwise it is only looked at.
        apply: bool,
        /// What an earlier order has begun.
        pending: Option<Pending>,
    },
    /// Set a one-shot network boot, read it back, and start or restart the machine.
    Arm {
        /// How it boots from the network.
        network_boot: NetworkBoot,
        /// In which firmware mode.
        mode: BootMode,
    },
    /// Clear the boot override and start or restart the machine, from its own disk.
    PowerCycle,
    /// LED off and, if asked, power off: gracefully, then without asking.
    Finish {
        /// Whether to power it off.
        power_off: bool,
    },
}
