//! Encryption of what is written back.

use std::sync::Arc;

use super::error::GitError;

/// Encrypts a text; the error says why not.
pub(crate) type Encrypt = dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync;

/// Whether what is committed (first) stands for a text (second).
pub(crate) type StandsFor = dyn Fn(&[u8], &[u8]) -> bool + Send + Sync;

/// Encryption of each file.
#[derive(Clone)]
pub struct Seal {
    /// A text -> what is committed.
    pub encrypt: Arc<Encrypt>,
    /// Whether what is committed (first) stands for a text (second).
    pub stands_for: Arc<StandsFor>,
}

impl Seal {
    pub(super) fn encrypt(&self, text: &[u8]) -> Result<Vec<u8>, GitError> {
        (self.encrypt)(text).map_err(GitError::Sealing)
    }

    pub(super) fn is_sealed(&self, data: &[u8], text: &[u8]) -> bool {
        (self.stands_for)(data, text)
    }
}
