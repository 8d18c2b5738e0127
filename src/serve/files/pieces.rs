//! Pieces of files in memory: each is read by one for all who want it, and the one unused longest goes first.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::Identity;

/// A file's identity, and which piece of it.
type Key = (Identity, u64);

/// What keeping a piece costs at least, so that a million tiny files have a bound too.
const LEAST: u64 = 4096;

/// The pieces in memory and those being read.
#[derive(Debug)]
pub struct Pieces {
    budget: u64,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// Pieces, and when each was last used.
    kept: HashMap<Key, (Bytes, u64)>,
    /// The same by use; the first was unused longest.
    uses: BTreeMap<u64, Key>,
    /// Counts uses.
    tick: u64,
    /// What the kept ones cost.
    octets: u64,
    /// Pieces being read: whoever comes meanwhile waits for the same read.
    coming: HashMap<Key, Weak<OnceCell<Bytes>>>,
}

impl Pieces {
    /// Nothing yet, and never more than so many octets.
    pub fn new(budget: u64) -> Pieces {
        Pieces { budget, shelf: Mutex::default() }
    }

    /// A piece: from memory, or from `read`, which is called by one of those who want it now.
    pub async fn get(&self, key: Key, read: impl FnOnce() -> io::Result<Bytes> + Send + 'static) -> io::Result<Bytes> {
        let cell = {
            let mut shelf = self.lock();
            if let Some(piece) = shelf.take_up(&key) {
                return Ok(piece);
            }
            shelf.join(key)
        };
        // When the one who reads goes away or fails, the next one of those who wait reads.
        let piece = cell.get_or_try_init(|| async { tokio::task::spawn_blocking(read).await? }).await?.clone();
        self.lock().put(key, &piece, self.budget);
        Ok(piece)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// A kept piece, now the one used last.
    fn take_up(&mut self, key: &Key) -> Option<Bytes> {
        let (piece, used) = self.kept.get_mut(key)?;
        self.tick += 1;
        self.uses.remove(used);
        self.uses.insert(self.tick, *key);
        *used = self.tick;
        Some(piece.clone())
    }

    /// The cell in which the piece will be.
    fn join(&mut self, key: Key) -> Arc<OnceCell<Bytes>> {
        if let Some(cell) = self.coming.get(&key).and_then(Weak::upgrade) {
            return cell;
        }
        // Reads that failed or were given up leave an entry; they go before the table would grow.
        if self.coming.len() == self.coming.capacity() {
            self.coming.retain(|_, cell| cell.strong_count() > 0);
        }
        let cell = Arc::new(OnceCell::new());
        self.coming.insert(key, Arc::downgrade(&cell));
        cell
    }

    /// Keeps a piece, and drops those unused longest until all fit.
    fn put(&mut self, key: Key, piece: &Bytes, budget: u64) {
        self.coming.remove(&key);
        if self.kept.contains_key(&key) {
            return;
        }
        self.tick += 1;
        self.kept.insert(key, (piece.clone(), self.tick));
        self.uses.insert(self.tick, key);
        self.octets += cost(piece);
        while self.octets > budget {
            let Some((_, oldest)) = self.uses.pop_first() else { return };
            let dropped = self.kept.remove(&oldest);
            self.octets -= dropped.map_or(0, |(piece, _)| cost(&piece));
        }
    }
}

fn cost(piece: &Bytes) -> u64 {
    LEAST.max(piece.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64) -> Key {
        (Identity { device: 1, inode, size: 9, modified: (0, 0) }, 0)
    }

    fn piece(octets: usize) -> Bytes {
        Bytes::from(vec![7; octets])
    }

    #[test]
    fn the_piece_unused_longest_goes_first_and_the_budget_holds() {
        let mut shelf = Shelf::default();
        let budget = 3 * LEAST;
        (1..=3).for_each(|inode| shelf.put(key(inode), &piece(10), budget));
        assert!(shelf.take_up(&key(1)).is_some());
        shelf.put(key(4), &piece(10), budget);
        let kept =
            |shelf: &mut Shelf| (1..=4).filter(|inode| shelf.take_up(&key(*inode)).is_some()).collect::<Vec<_>>();
        assert_eq!(kept(&mut shelf), [1, 3, 4], "2 was unused longest");
        shelf.put(key(5), &piece(100_000), budget);
        assert_eq!((shelf.kept.len(), shelf.uses.len(), shelf.octets), (0, 0, 0), "larger than all of it: not kept");
    }

    #[tokio::test]
    async fn a_failed_read_is_tried_again_by_the_next_who_asks() {
        let pieces = Pieces::new(1 << 20);
        let failed = pieces.get(key(1), || Err(io::ErrorKind::NotFound.into())).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(pieces.get(key(1), || Ok(Bytes::from_static(b"x"))).await.unwrap(), "x");
        assert_eq!(pieces.get(key(1), || panic!("kept")).await.unwrap(), "x");
    }
}
