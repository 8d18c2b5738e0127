//! What is this machine told? DHCP, TFTP and HTTP all ask here, so that they cannot disagree.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::model::{HostId, LocalBoot, Mac, World};

/// Whether a machine that asks the network gets an installer.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The installer: the repository consents, and the host is armed (or has no BMC to arm it).
    Install {
        /// Which host.
        host: HostId,
    },
    /// Its own disk.
    Local {
        /// Which host, when it is one of ours.
        host: Option<HostId>,
        /// By which trick.
        how: LocalBoot,
        /// Why, for people and logs.
        why: &'static str,
    },
}

/// What a DHCP client told us about how it boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// Option 93 (RFC 4578), first type.
    pub arch: Option<u16>,
    /// Option 60 begins with `PXEClient`.
    pub pxe: bool,
    /// Option 60 begins with `HTTPClient` (UEFI HTTP boot).
    pub http: bool,
    /// Option 175 or user class `iPXE`.
    pub ipxe: bool,
}

/// The boot part of a DHCP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootOptions {
    /// `siaddr`, option 66.
    pub next_server: Ipv4Addr,
    /// `file`, option 67: a TFTP name or an absolute URL.
    pub file: String,
}

/// The answer to a request for a boot file.
#[derive(Clone, Debug, PartialEq)]
pub enum FileAnswer {
    /// Its contents.
    Body(Arc<str>),
    /// Reading this is a claim: mint a token, tell the inbox `Event::Claimed`, and only when the verdict is `Ok` send
    /// the body with every `TOKEN_MARK` replaced by the token.
    Claim {
        /// The boot MAC to claim for.
        mac: Mac,
        /// The body, with marks.
        body: Arc<str>,
    },
    /// No such file for this machine.
    NotFound,
    /// The file exists, but not for this client.
    Refused(String),
}

/// Whether the machine with this boot MAC is to be installed.
pub fn decide(_world: &World, _mac: Mac) -> Decision {
    Decision::Local { host: None, how: LocalBoot::Auto, why: "unknown machine" }
}

/// The boot part of the DHCP answer to this client; `None` for clients that do not network-boot (BMCs, operating
/// systems) and for hosts told to boot locally by `LocalBoot::Firmware`.
pub fn dhcp(_world: &World, _mac: Mac, _firmware: Firmware) -> Option<BootOptions> {
    None
}

/// Contents of the boot file `name` (`boot.ipxe`, `mac-<12 hex>.preseed`, …) of the machine with this boot MAC, for a
/// client at `source`.
pub fn file(_world: &World, _mac: Mac, _name: &str, _source: IpAddr) -> FileAnswer {
    FileAnswer::NotFound
}
