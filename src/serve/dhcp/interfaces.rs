//! This machine's interfaces: which of them lie on a segment that is served, and what our address there is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::LinkAddr;

use super::respond::Here;
use crate::model::{Mac, Site};

/// `ARPHRD_ETHER`
const ETHERNET: u16 = 1;

/// One interface.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    pub name: String,
    /// Our addresses on it that are on served segments, `network.address` first.
    pub served: Vec<Ipv4Addr>,
    /// How the packet socket names it; only for Ethernet.
    pub hardware: Option<LinkAddr>,
}

impl Interface {
    /// Its hardware address.
    pub fn mac(&self) -> Option<Mac> {
        self.hardware?.addr().map(Mac)
    }
}

/// The interfaces, by index, and every address that is ours.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    by_index: BTreeMap<u32, Interface>,
    ours: Vec<Ipv4Addr>,
}

impl Interfaces {
    /// Asks the system. Without an answer nothing is served directly, and relayed requests still are.
    pub fn read(site: &Site, proxy: bool) -> Interfaces {
        let mut interfaces = Interfaces { by_index: BTreeMap::new(), ours: vec![site.address] };
        let entries = match getifaddrs() {
            Ok(entries) => entries.collect::<Vec<_>>(),
            Err(error) => {
                tracing::warn!(%error, "cannot list this machine's interfaces");
                Vec::new()
            }
        };
        let by_name: BTreeMap<&str, LinkAddr> = entries
            .iter()
            .filter_map(|entry| Some((entry.interface_name.as_str(), *entry.address.as_ref()?.as_link_addr()?)))
            .collect();
        for entry in &entries {
            let Some(address) = entry.address.as_ref().and_then(|address| address.as_sockaddr_in()) else { continue };
            // An alias (`eth0:1`) is the interface it stands on.
            let name = entry.interface_name.split(':').next().unwrap_or_default();
            let Some(hardware) = by_name.get(name) else { continue };
            let loopback = entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
            interfaces.add(name, *hardware, (!loopback).then_some(address.ip()), site, proxy);
            interfaces.ours.push(address.ip());
        }
        interfaces.by_index.values_mut().for_each(|link| link.served.sort_by_key(|ip| *ip != site.address));
        interfaces
    }

    fn add(&mut self, name: &str, hardware: LinkAddr, address: Option<Ipv4Addr>, site: &Site, proxy: bool) {
        let Ok(index) = u32::try_from(hardware.ifindex()) else { return };
        let link = self.by_index.entry(index).or_insert_with(|| Interface {
            name: name.to_owned(),
            served: Vec::new(),
            hardware: (hardware.hatype() == ETHERNET && hardware.halen() == 6).then_some(hardware),
        });
        // Beside another server there need be no subnets: then the segment of `network.address` is meant.
        let served = |ip: &Ipv4Addr| site.subnet_of(*ip).is_some() || (proxy && *ip == site.address);
        link.served.extend(address.filter(served));
    }

    /// The interface with this index.
    pub fn get(&self, index: u32) -> Option<&Interface> {
        self.by_index.get(&index)
    }

    /// Whether the address is one of this machine's.
    pub fn is_ours(&self, ip: Ipv4Addr) -> bool {
        self.ours.contains(&ip)
    }

    /// The interfaces on served segments.
    pub fn served(&self) -> impl Iterator<Item = &Interface> {
        self.by_index.values().filter(|it| !it.served.is_empty())
    }

    /// Where a datagram to `to` was heard.
    ///
    /// The server identifier must be an address that the client, or its relay, can reach: the one that was asked, or
    /// ours on the interface that heard a broadcast.
    pub fn here(&self, index: Option<u32>, to: Option<Ipv4Addr>, address: Ipv4Addr) -> Here<'_> {
        let link = index.and_then(|index| self.get(index));
        let asked = to.filter(|to| self.is_ours(*to) && !to.is_loopback());
        let segments = link.map(|link| link.served.as_slice()).unwrap_or_default();
        Here {
            id: asked.or(segments.first().copied()).unwrap_or(address),
            segments,
            ours: &self.ours,
            broadcast: asked.is_none(),
        }
    }
}
