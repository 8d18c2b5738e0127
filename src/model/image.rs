//! Images: what an installer boots, announced in its manifest with a digest, and what is known of each.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::Digest;

/// One of `images:` in an installer's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// Digest of everything below: with any change it is another image.
    pub id: Digest,
    /// Its name for templates and machines: the last part of its URL.
    pub name: Arc<str>,
    /// The installer that announces it.
    pub installer: Arc<str>,
    /// Where it comes from.
    pub source: ImageSource,
    /// SHA-256 of its octets, in lower-case hex.
    pub sha256: Arc<str>,
    /// What its vendor signed, when that is checked too.
    pub signature: Option<SignatureSpec>,
}

/// Where an image, a signature or a list of sums comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// An absolute `http` or `https` URL.
    Url(String),
    /// A path below `network.tftp.root`.
    Path(String),
}

/// A vendor's detached OpenPGP signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureSpec {
    pub source: ImageSource,
    /// The list of sums (`SHA256SUMS`) that was signed instead of the image itself; it must name the image's digest.
    pub sums: Option<ImageSource>,
    /// The keys that are accepted.
    pub keyring: Keyring,
}

/// Keys that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keyring {
    /// A file of the daemon's host (absolute): a distribution's own keyring package.
    Host(String),
    /// A file beside the manifest.
    Own(Arc<[u8]>),
}

impl ImageSource {
    /// As a person wrote it.
    pub fn as_str(&self) -> &str {
        match self {
            ImageSource::Url(text) | ImageSource::Path(text) => text,
        }
    }
}

/// Identifies the verified file: with another stamp it was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageStamp {
    pub size: u64,
    pub inode: u64,
    /// Seconds and nanoseconds of its last change.
    pub modified: (i64, i64),
}
