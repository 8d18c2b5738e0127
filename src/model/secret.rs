//! Values that must never reach a log, an artifact, a commit, an error or an argument list.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A secret text. It can be compared and cloned cheaply, is wiped from memory when the last clone is dropped, prints
/// as `***`, and cannot be serialized: only [`reveal`](Secret::reveal) gives the text, so every use can be found.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text itself. Call this only where the secret leaves for the party it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
