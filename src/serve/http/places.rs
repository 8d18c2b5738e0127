//! Places for connections: a bound for all, and one for each client, so that no machine takes them from the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections open at once; more wait in the kernel's queue.
const ALL: usize = 1024;
/// Connections of one client. Firmware and installers need a handful; a few machines may share an address behind a proxy.
const EACH: u32 = 128;

/// Who has how many connections.
#[derive(Clone, Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, u32>>>,
    each: u32,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Places {
        Places::new(ALL, EACH)
    }
}

impl Places {
    /// So many for all, and so many for each.
    pub fn new(all: usize, each: u32) -> Places {
        Places { free: Arc::new(Semaphore::new(all)), taken: Arc::default(), each }
    }

    /// Waits until there is a place for somebody.
    pub async fn free(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// Gives the place to a client, unless it has its share. This host itself may have them all: a proxy in front of us
    /// speaks for everybody.
    pub fn give(&self, permit: OwnedSemaphorePermit, client: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(client).or_insert(0);
        if *count >= self.each && !client.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), client, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_does_not_take_every_place() {
        let places = Places::new(8, 2);
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let permit = async || places.free().await.unwrap();
        let first = places.give(permit().await, greedy).unwrap();
        let _second = places.give(permit().await, greedy).unwrap();
        assert!(places.give(permit().await, greedy).is_none());
        let kept = places.give(permit().await, other).unwrap();
        drop(first);
        assert!(places.give(permit().await, greedy).is_some());
        drop(kept);
        assert!(!places.taken.lock().unwrap().contains_key(&other), "whoever left is forgotten");
        let here: Vec<_> = [permit().await, permit().await, permit().await].into();
        assert!(here.into_iter().all(|permit| places.give(permit, IpAddr::from([127, 0, 0, 1])).is_some()));
    }
}
