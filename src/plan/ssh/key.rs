//! Public keys of SSH hosts, as text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Key types that a host may have (RFC 8709, RFC 5656, RFC 4253 section 6.6).
const TYPES: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// A host's public key as OpenSSH writes it, without its comment: `ssh-ed25519 AAAA…`. Nothing for what is no such key:
/// the blob must begin with the name of its type (RFC 4253 section 6.6).
pub fn parse(text: &str) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let (kind, blob) = (words.next()?, words.next()?);
    let octets = STANDARD.decode(blob).ok()?;
    let (length, rest) = octets.split_first_chunk::<4>()?;
    let named = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let good = TYPES.contains(&kind) && named == kind.as_bytes() && rest.len() > named.len();
    good.then(|| format!("{kind} {blob}"))
}

/// The type of a key.
pub fn kind(key: &str) -> &str {
    key.split_ascii_whitespace().next().unwrap_or_default()
}

/// A key's fingerprint as OpenSSH shows it: `SHA256:…`.
pub fn fingerprint(key: &str) -> String {
    let octets = key.split_ascii_whitespace().nth(1).and_then(|blob| STANDARD.decode(blob).ok());
    octets.map_or_else(
        || "unreadable".to_owned(),
        |octets| format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(octets))),
    )
}
