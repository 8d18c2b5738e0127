//! Names and numbers that things are known by.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// An Ethernet address (EUI-48). Printed in lower case with colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Twelve lower-case hex digits without separators, as in PVC's `host/mac-<12 hex>.ipxe`.
    pub fn hex(self) -> String {
        hex::encode(self.0)
    }

    /// A group address (IEEE 802.3: lowest bit of the first octet), broadcast included. Never a machine.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// `00:00:00:00:00:00`, which firmware reports for "no address".
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl FromStr for Mac {
    type Err = String;

    /// Accepts any usual notation: `52:54:00:AA:bb:01`, `52-54-00-aa-bb-01`, `5254.00aa.bb01`, `525400aabb01`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a MAC address");
        let trimmed = text.trim();
        let group = match trimmed.len() {
            17 => 2,
            14 => 4,
            12 => 12,
            _ => return Err(bad()),
        };
        let mut digits = String::with_capacity(12);
        let mut separator = None;
        for (index, c) in trimmed.chars().enumerate() {
            if group < 12 && (index + 1) % (group + 1) == 0 {
                let fits = if group == 2 { c == ':' || c == '-' } else { c == '.' };
                if !fits || separator.is_some_and(|seen| seen != c) {
                    return Err(bad());
                }
                separator = Some(c);
            } else {
                digits.push(c);
            }
        }
        let mut octets = [0; 6];
        hex::decode_to_slice(&digits, &mut octets).map_err(|_| bad())?;
        Ok(Mac(octets))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In JSON Schema what is written as text is a string.
macro_rules! text_schema {
    ($name:ident) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                String::json_schema(generator)
            }
        }
    };
}

text_schema!(Mac);
text_schema!(HostId);

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name.
            pub fn new(text: impl AsRef<str>) -> Self {
                $name(Arc::from(text.as_ref()))
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A cluster's name: an entry of `clusters.yml`, a directory under `group_vars/`, a group in the inventory.
    ClusterName
}
text_id! {
    /// A full Git object id in hex: which state of the repository is meant.
    Revision
}
text_id! {
    /// A task of a cluster: `ansible`, or `hook-<number from 1>-<name>`.
    TaskId
}
text_id! {
    /// SHA-256 in hex over something whose change matters (a host's install inputs, a task's definition).
    Digest
}

impl Revision {
    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        self.as_str().get(..10).unwrap_or(self.as_str())
    }
}

impl Digest {
    /// The digest of some parts; each part is framed by its length, so `("ab", "c")` and `("a", "bc")` differ.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Digest::new(hex::encode(hash.finalize()))
    }
}

/// A host's identity: cluster and short host name. Survives a change of MAC (a replaced board keeps its name).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// `node.hostname`, the short name.
    pub host: Arc<str>,
}

impl HostId {
    /// Names the host `host` of `cluster`.
    pub fn new(cluster: &ClusterName, host: impl AsRef<str>) -> Self {
        HostId { cluster: cluster.clone(), host: Arc::from(host.as_ref()) }
    }
}

impl FromStr for HostId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((cluster, host)) if !cluster.is_empty() && !host.is_empty() && !host.contains('/') => {
                Ok(HostId::new(&ClusterName::new(cluster), host))
            }
            _ => Err(format!("`{text}` is not CLUSTER/HOST")),
        }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.host)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HostId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Consent to wipe a disk, as a number in git: a host is installed only when the generation in the repository is
/// greater than the one acknowledged as installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The secret of one claim: 128 random bits, handed to the installer in the path of its check-in URI. It is never
/// stored; facts keep its [`TokenId`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Makes a token from random octets; where they come from is the caller's business.
    pub fn from_random(octets: [u8; 16]) -> Self {
        Token(Arc::from(hex::encode(octets)))
    }

    /// Reads a token from a request: 32 hex digits, any case.
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        shaped.then(|| Token(Arc::from(text.to_ascii_lowercase())))
    }

    /// The token's text, for the one machine it is meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What facts and the status branch know of it.
    pub fn id(&self) -> TokenId {
        TokenId(Arc::from(&hex::encode(Sha256::digest(self.0.as_bytes()))[..32]))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The first 128 bits of the SHA-256 of a [`Token`], in hex: names an install attempt without giving the secret away.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct TokenId(pub Arc<str>);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
