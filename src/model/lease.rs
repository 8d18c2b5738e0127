//! Addresses handed out.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::event::LeaseOrigin;
use super::id::Mac;
use super::time::Time;

/// Addresses handed out, by address and by MAC. Lease identity is the MAC.
///
/// Readers hold the previous World while a batch of facts is folded, so the first change of each batch copies: the list
/// of pages and the pages that change, not tens of thousands of leases.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Vec<Lease>")]
pub struct Leases {
    /// A page holds the addresses of one /24. Pages are never empty.
    by_ip: Pages<[u8; 3], Ipv4Addr, Lease>,
    /// A page holds the MACs with one last octet: a vendor numbers its boards there, so that pages fill evenly.
    by_mac: Pages<u8, Mac, Ipv4Addr>,
    len: usize,
}

type Pages<P, K, V> = BTreeMap<P, Arc<BTreeMap<K, V>>>;

fn net_of(ip: Ipv4Addr) -> [u8; 3] {
    let [a, b, c, _] = ip.octets();
    [a, b, c]
}

/// Removes a key, and its page with the last of them.
fn take<P: Ord, K: Ord + Clone, V: Clone>(pages: &mut Pages<P, K, V>, page: P, key: &K) -> Option<V> {
    let entries = pages.get_mut(&page).filter(|entries| entries.contains_key(key))?;
    let value = Arc::make_mut(entries).remove(key);
    if entries.is_empty() {
        pages.remove(&page);
    }
    value
}

/// One address, and who holds it until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub ip: Ipv4Addr,
    /// Its holder; `None` for an address set aside after a DHCPDECLINE.
    pub mac: Option<Mac>,
    pub until: Time,
    pub by: LeaseOrigin,
}

impl Leases {
    /// Who holds an address, expired or not.
    pub fn holder(&self, ip: Ipv4Addr) -> Option<&Lease> {
        self.by_ip.get(&net_of(ip))?.get(&ip)
    }

    /// The lease of a MAC, expired or not.
    pub fn of(&self, mac: Mac) -> Option<&Lease> {
        self.holder(*self.by_mac.get(&mac.0[5])?.get(&mac)?)
    }

    /// Every lease, in address order.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.by_ip.values().flat_map(|page| page.values())
    }

    /// The leases from one address to another (both included), in address order.
    pub fn within(&self, first: Ipv4Addr, last: Ipv4Addr) -> impl Iterator<Item = &Lease> {
        let pages = (first <= last).then(|| self.by_ip.range(net_of(first)..=net_of(last)));
        pages.into_iter().flatten().flat_map(move |(_, page)| page.range(first..=last)).map(|(_, lease)| lease)
    }

    /// How many addresses are known.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Records a lease, in place of any other of the same address or the same MAC.
    pub fn insert(&mut self, lease: Lease) {
        let known = self.holder(lease.ip).map(|old| old.mac);
        if known != Some(lease.mac) {
            self.remove(lease.ip);
            if let Some(mac) = lease.mac {
                if let Some(ip) = self.of(mac).map(|old| old.ip) {
                    self.remove(ip);
                }
                Arc::make_mut(self.by_mac.entry(mac.0[5]).or_default()).insert(mac, lease.ip);
            }
            self.len += 1;
        }
        // A renewal, which is what nearly all of them are, touches one page only.
        Arc::make_mut(self.by_ip.entry(net_of(lease.ip)).or_default()).insert(lease.ip, lease);
    }

    /// Forgets an address.
    pub fn remove(&mut self, ip: Ipv4Addr) {
        let Some(lease) = take(&mut self.by_ip, net_of(ip), &ip) else { return };
        self.len -= 1;
        if let Some(mac) = lease.mac {
            take(&mut self.by_mac, mac.0[5], &mac);
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

impl Serialize for Leases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn lease(ip: u32, mac: Option<u8>, until: i64) -> Lease {
        let mac = mac.map(|n| Mac([2, 0, 0, 0, n / 16, n % 16]));
        Lease { ip: Ipv4Addr::from(0x0a00_0000 + ip), mac, until: Time(until), by: LeaseOrigin::Own }
    }

    /// Every step of a random history is held against two plain maps.
    #[test]
    fn pages_say_what_plain_maps_would() {
        let (mut leases, mut plain) = (Leases::default(), BTreeMap::<Ipv4Addr, Lease>::new());
        let mut state = 1_u64;
        for step in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = |shift: u32, below: u64| (state >> shift) % below;
            let ip = u32::try_from(random(20, 40) * 31).unwrap();
            let mac = u8::try_from(random(40, 33)).unwrap();
            let entry = lease(ip, (mac > 0).then_some(mac), step);
            let before = leases.clone();
            if random(60, 4) == 0 {
                leases.remove(entry.ip);
                plain.remove(&entry.ip);
            } else {
                plain.retain(|_, old| old.mac.is_none() || old.mac != entry.mac);
                plain.insert(entry.ip, entry.clone());
                leases.insert(entry.clone());
                assert_eq!(leases.of(entry.mac.unwrap_or(Mac([0; 6]))), entry.mac.and(plain.get(&entry.ip)));
            }
            assert!(leases.iter().eq(plain.values()), "step {step}");
            assert_eq!((leases.len(), leases.is_empty()), (plain.len(), plain.is_empty()));
            assert_eq!(
                leases.by_mac.values().map(|page| page.len()).sum::<usize>(),
                leases.iter().filter_map(|it| it.mac).count()
            );
            let (from, to) = (lease(ip, None, 0).ip, lease(ip + 400, None, 0).ip);
            assert!(leases.within(from, to).eq(plain.range(from..=to).map(|(_, lease)| lease)));
            assert!(leases.within(to, Ipv4Addr::from(u32::from(from) - 1)).next().is_none());
            // A copy taken earlier is not changed by what comes later.
            assert!(
                step % 97 != 0
                    || serde_json::to_string(&before).unwrap() != serde_json::to_string(&leases).unwrap()
                    || before == leases
            );
        }
        let text = serde_json::to_string(&leases).unwrap();
        assert_eq!(serde_json::from_str::<Leases>(&text).unwrap(), leases);
    }
}
