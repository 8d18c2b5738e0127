//! Addresses handed out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::event::LeaseOrigin;
use super::id::Mac;
use super::time::Time;

/// Addresses handed out, by address and by MAC. Lease identity is the MAC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Lease>", into = "Vec<Lease>")]
pub struct Leases {
    by_ip: BTreeMap<Ipv4Addr, Lease>,
    by_mac: BTreeMap<Mac, Ipv4Addr>,
}

/// One address, and who holds it until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its holder; `None` for an address set aside after a DHCPDECLINE.
    pub mac: Option<Mac>,
    /// Until when.
    pub until: Time,
    /// Who handed it out.
    pub by: LeaseOrigin,
}

impl Leases {
    /// Who holds an address, expired or not.
    pub fn holder(&self, ip: Ipv4Addr) -> Option<&Lease> {
        self.by_ip.get(&ip)
    }

    /// The lease of a MAC, expired or not.
    pub fn of(&self, mac: Mac) -> Option<&Lease> {
        self.by_ip.get(self.by_mac.get(&mac)?)
    }

    /// Every lease, in address order.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.by_ip.values()
    }

    /// The leases from one address to another (both included), in address order.
    pub fn within(&self, first: Ipv4Addr, last: Ipv4Addr) -> impl Iterator<Item = &Lease> {
        (first <= last).then(|| self.by_ip.range(first..=last).map(|(_, lease)| lease)).into_iter().flatten()
    }

    /// How many addresses are known.
    pub fn len(&self) -> usize {
        self.by_ip.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.by_ip.is_empty()
    }

    /// Records a lease, in place of any other of the same address or the same MAC.
    pub fn insert(&mut self, lease: Lease) {
        self.remove(lease.ip);
        if let Some(mac) = lease.mac
            && let Some(old) = self.by_mac.insert(mac, lease.ip)
        {
            self.by_ip.remove(&old);
        }
        self.by_ip.insert(lease.ip, lease);
    }

    /// Forgets an address.
    pub fn remove(&mut self, ip: Ipv4Addr) {
        if let Some(mac) = self.by_ip.remove(&ip).and_then(|lease| lease.mac) {
            self.by_mac.remove(&mac);
        }
    }
}

impl From<Vec<Lease>> for Leases {
    fn from(list: Vec<Lease>) -> Self {
        let mut leases = Leases::default();
        list.into_iter().for_each(|lease| leases.insert(lease));
        leases
    }
}

impl From<Leases> for Vec<Lease> {
    fn from(leases: Leases) -> Self {
        leases.by_ip.into_values().collect()
    }
}
