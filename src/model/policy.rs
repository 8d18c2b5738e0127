//! The part of the settings that decisions need: limits, deadlines, and what machines are told about us.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::Ipv4Net;

use super::notice::Receiver;

/// Limits and deadlines. Given to the `World` when it is made; not a fact, so never journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often the repository is polled.
    pub poll_interval: Duration,
    /// How long after a change of state the status commit may wait for more changes.
    pub publish_debounce: Duration,
    /// How long after arming (power on, network boot set) a machine may take to claim its install.
    pub boot_timeout: Duration,
    /// How long after its last sign of life an installer may take to finish.
    pub install_timeout: Duration,
    /// How long after "install complete" the installed system may take to report its first boot.
    pub first_boot_timeout: Duration,
    /// How long a booted host waits for the other hosts of its cluster before a person is asked to look.
    pub peers_timeout: Duration,
    /// How long what a preparation has begun (a BMC's job, a restart for BIOS settings) may take.
    pub settings_timeout: Duration,
    /// How often that is checked.
    pub settings_poll: Duration,
    /// How long an action may be under way before its silence is reported (drivers have their own, shorter limits).
    pub action_timeout: Duration,
    /// First delay after a failed action; doubled at each failure in a row.
    pub backoff_base: Duration,
    /// Longest delay between two tries.
    pub backoff_cap: Duration,
    /// Hosts that may be between "armed" and "install complete" at once.
    pub concurrent_installs: usize,
    /// BMCs that may be talked to at once.
    pub concurrent_bmc: usize,
    /// How long an Ansible run may take.
    pub ansible_timeout: Duration,
    /// Whether there is a key to reach installed hosts with over SSH.
    pub ssh: bool,
    pub receivers: Vec<Receiver>,
    /// Whether there is a forge to be told how revisions stand.
    pub commit_status: bool,
    pub site: Site,
}

/// Where machines find this daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// `network.address`: next-server, and the host part of every URL.
    pub address: Ipv4Addr,
    pub http_port: u16,
    pub tftp_port: u16,
    /// Dynamic ranges and options, by segment.
    pub subnets: Vec<Subnet>,
    /// Whether this daemon hands out the addresses (`network.dhcp.mode: full`). Only then can a boot file be bound to
    /// the address leased to its MAC.
    pub leases_are_ours: bool,
}

/// One IPv4 segment that is served (`network.dhcp.subnets[]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub net: Ipv4Net,
    /// First address of the dynamic range.
    pub first: Ipv4Addr,
    /// Last address of the dynamic range.
    pub last: Ipv4Addr,
    /// DHCP option 3.
    pub gateway: Option<Ipv4Addr>,
    /// DHCP option 6.
    pub dns: Vec<Ipv4Addr>,
    /// DHCP option 15.
    pub domain: Option<String>,
    /// DHCP option 42.
    pub ntp: Vec<Ipv4Addr>,
    /// DHCP option 51.
    pub lease_time: Duration,
}

impl Site {
    /// `http://<address>:<port>`, without a trailing slash.
    pub fn http_base(&self) -> String {
        format!("http://{}:{}", self.address, self.http_port)
    }

    /// The subnet an address belongs to.
    pub(crate) fn subnet_of(&self, address: Ipv4Addr) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.net.contains(&address))
    }

    /// Whether `address` is in a subnet that is served.
    pub fn serves(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if self.subnet_of(v4).is_some())
    }
}

impl Default for Policy {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Policy {
            poll_interval: Duration::from_secs(30),
            publish_debounce: Duration::from_secs(1),
            boot_timeout: minutes(10),
            install_timeout: minutes(60),
            first_boot_timeout: minutes(15),
            peers_timeout: minutes(12 * 60),
            settings_timeout: minutes(45),
            settings_poll: Duration::from_secs(30),
            action_timeout: minutes(5),
            backoff_base: Duration::from_secs(5),
            backoff_cap: minutes(15),
            concurrent_installs: 64,
            concurrent_bmc: 32,
            ansible_timeout: minutes(120),
            ssh: true,
            receivers: Vec::new(),
            commit_status: false,
            site: Site {
                address: Ipv4Addr::LOCALHOST,
                http_port: 9999,
                tftp_port: 69,
                subnets: Vec::new(),
                leases_are_ours: false,
            },
        }
    }
}
