//! Keys: ours, and those of hosts. OpenSSH's formats only (`PROTOCOL.key` of OpenSSH; RFC 4253 section 6.6).

use std::path::Path;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, PublicKey};

use super::error::SshError;
use crate::drive::private;

const FILE_LIMIT: u64 = 64 << 10;

/// Host key algorithms, the best first. RSA is not among them: the library's RSA leaks timing (RUSTSEC-2023-0071).
pub(super) const HOST_KEYS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// Whether a file holds a private key that we can log in with; why not.
pub fn check(path: &Path) -> Result<(), SshError> {
    ours(path).map(|_| ())
}

pub(super) fn ours(path: &Path) -> Result<PrivateKey, SshError> {
    let bad = |why: String| SshError::Key(format!("{}: {why}", path.display()));
    let (text, _) = private::read(path, FILE_LIMIT).map_err(|error| bad(error.to_string()))?;
    let key = PrivateKey::from_openssh(text.as_slice()).map_err(|_| {
        bad("it is no private key in OpenSSH's format; `ssh-keygen -t ed25519 -N ''` makes one".to_owned())
    })?;
    if key.is_encrypted() {
        return Err(bad("it has a passphrase, which nobody is there to type; use a key without one".to_owned()));
    }
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(key),
        other => Err(bad(format!("keys of type {other} are not supported; use an ed25519 key"))),
    }
}

pub(super) fn pinned(text: &str) -> Result<PublicKey, String> {
    let key = PublicKey::from_openssh(text).map_err(|_| "it is no public key in OpenSSH's format".to_owned())?;
    match key.algorithm() {
        known if HOST_KEYS.contains(&known) => Ok(key),
        other => Err(format!("keys of type {other} are not supported")),
    }
}

/// A host key as it is kept: algorithm and key, without a comment.
pub(super) fn line(key: &PublicKey) -> String {
    let bare = PublicKey::new(key.key_data().clone(), "");
    bare.to_openssh().map(|text| text.trim_end().to_owned()).unwrap_or_default()
}

/// The fingerprint of a host key, as `ssh-keygen -l` shows it (`SHA256:…`); `None` when it is none.
pub fn fingerprint(key: &str) -> Option<String> {
    PublicKey::from_openssh(key).ok().map(|key| key.fingerprint(HashAlg::Sha256).to_string())
}
