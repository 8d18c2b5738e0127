//! Static files for TFTP and HTTP: found below the root whatever links say, opened once, and read once however many
//! machines ask.
//!
//! [`Library::find`] turns a name into a [`Held`] file, [`Held::piece`] gives its octets. A file's pieces are kept in
//! memory within a budget; what a piece belongs to is the file's identity (device, inode, size, time of change), so a file
//! that was replaced is another one, and a transfer that began with the old one ends with the old one.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use bytes::Bytes;

use crate::settings::Settings;

mod locate;
mod pieces;

pub use locate::IPXE;
use locate::{Located, Places};
use pieces::Pieces;

/// Octets of a piece. Large ones halve the cost of a kernel and an initrd; each one that is under way is memory.
pub const PIECE: u64 = 1 << 20;
/// Octets of files kept in memory: a kernel, an initrd and a small image, on a host that may not have much more.
const BUDGET: u64 = 256 << 20;

/// The static root cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve network.tftp.root {}", path.display())]
pub struct RootError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// What a name stands for.
#[derive(Debug)]
pub enum Found {
    File(Arc<Held>),
    /// A link that leads out of the root, or a file of the root that is never given.
    Outside,
    /// Nothing that can be read.
    Missing,
}

/// Finds static files: below `network.tftp.root`, and iPXE's binaries also in `network.ipxe`.
#[derive(Debug)]
pub struct Library {
    places: Places,
    pieces: Arc<Pieces>,
    /// Every file somebody holds: two machines that ask for one file share one open file.
    held: Arc<Mutex<HashMap<Identity, Weak<Held>>>>,
}

impl Library {
    /// The files of these settings. Nothing is looked at before it is asked for.
    pub fn new(settings: &Settings) -> Library {
        Library::with_budget(settings, BUDGET)
    }

    /// With at most so many octets kept in memory, besides those being sent.
    pub fn with_budget(settings: &Settings, octets: u64) -> Library {
        let network = &settings.network;
        Library {
            places: Places::new(network.tftp_root.clone(), network.ipxe.clone()),
            pieces: Arc::new(Pieces::new(octets)),
            held: Arc::default(),
        }
    }

    /// Whether the root, if there is one, is a directory that can be read.
    pub fn check(&self) -> Result<(), RootError> {
        self.places.check()
    }

    /// What `path` stands for, relative to the root; leading slashes and `.` mean nothing.
    pub async fn find(&self, path: &str) -> Found {
        if let Some((file, data)) = self.places.glance(path) {
            return Found::File(self.hold(file, &data));
        }
        let (places, path) = (self.places.clone(), path.to_owned());
        // The disk may be slow, or a server far away: the runtime's threads do not wait for it.
        let located = tokio::task::spawn_blocking(move || places.locate(&path)).await;
        match located {
            Ok(Located::File(file, data)) => Found::File(self.hold(file, &data)),
            Ok(Located::Outside) => Found::Outside,
            Ok(Located::Missing) | Err(_) => Found::Missing,
        }
    }

    /// Holds a file that a caller has opened by itself (an image in the cache), so that it is read once like any other.
    pub fn hold(&self, file: File, data: &Metadata) -> Arc<Held> {
        let identity = Identity::of(data);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.get(&identity).and_then(Weak::upgrade) {
            return known;
        }
        // Those nobody holds any more are forgotten before the table would grow.
        if held.len() == held.capacity() {
            held.retain(|_, known| known.strong_count() > 0);
        }
        let fresh = Arc::new(Held { file: Arc::new(file), identity, pieces: self.pieces.clone() });
        held.insert(identity, Arc::downgrade(&fresh));
        fresh
    }
}

/// What makes a file this one: a file that was replaced or written to has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds of the last change.
    modified: (i64, i64),
}

impl Identity {
    fn of(data: &Metadata) -> Identity {
        Identity {
            device: data.dev(),
            inode: data.ino(),
            size: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
        }
    }
}

/// An open file and its place in memory.
#[derive(Debug)]
pub struct Held {
    file: Arc<File>,
    identity: Identity,
    pieces: Arc<Pieces>,
}

#[allow(clippy::len_without_is_empty, reason = "a file's size, not a collection's")]
impl Held {
    /// Its octets.
    pub fn len(&self) -> u64 {
        self.identity.size
    }

    /// A strong validator (RFC 9110 section 8.8.3), quotes included: another file has another one.
    pub fn etag(&self) -> String {
        let Identity { device, inode, size, modified: (seconds, nanos) } = self.identity;
        format!("\"{device:x}-{inode:x}-{size:x}-{seconds:x}.{nanos:x}\"")
    }

    /// When it was last changed.
    pub fn modified(&self) -> SystemTime {
        let (seconds, nanos) = self.identity.modified;
        let nanos = std::time::Duration::from_nanos(nanos.unsigned_abs());
        let seconds_away = std::time::Duration::from_secs(seconds.unsigned_abs());
        let whole = if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(seconds_away)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(seconds_away)
        };
        whole.and_then(|whole| whole.checked_add(nanos)).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The octets from `index` times [`PIECE`] on: a whole piece, or what is left of the file; nothing past its end.
    /// From memory, or read by one for all who ask at the same time. A file that was written to in the meantime is an
    /// error: half of one and half of the other is never given.
    pub async fn piece(&self, index: u64) -> io::Result<Bytes> {
        let Some(from) = index.checked_mul(PIECE).filter(|from| *from < self.len()) else { return Ok(Bytes::new()) };
        let length = PIECE.min(self.len() - from);
        let (file, identity) = (self.file.clone(), self.identity);
        let read = move || read(&file, identity, from, length);
        self.pieces.get((identity, index), read).await
    }
}

/// Reads a piece, and makes sure that it is of the file that was opened.
fn read(file: &File, identity: Identity, from: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut octets = vec![0; length];
    file.read_exact_at(&mut octets, from)?;
    if Identity::of(&file.metadata()?) != identity {
        return Err(io::Error::other("the file was changed while it was being sent"));
    }
    Ok(Bytes::from(octets))
}
