//! What is this machine told? DHCP, TFTP and HTTP all ask here, so that they cannot disagree.
//!
//! Nothing here has side effects: a boot file may be read any number of times (law 8). The one exception, an answer
//! file whose reading is the claim, is answered with [`FileAnswer::Claim`], and the server does the rest.

#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::nic;
use crate::model::{Consent, HostFacts, HostId, HostSpec, Lifecycle, LocalBoot, Mac, MacRole, World};

/// Whether a machine that asks the network gets an installer.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The installer: the repository consents, and the host is armed (or has no BMC to arm it).
    Install { host: HostId },
    /// Its own disk.
    Local {
        /// Which host, when it is one of ours.
        host: Option<HostId>,
        /// By which trick.
        how: LocalBoot,
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
    Body(Arc<str>),
    /// Reading this is a claim: mint a token, tell the inbox `Event::Claimed`, and only when the verdict is `Ok` send
    /// the body with every `TOKEN_MARK` replaced by the token.
    Claim {
        /// The boot MAC to claim for.
        mac: Mac,
        /// The body, with marks.
        body: Arc<str>,
    },
    NotFound,
    /// The file exists, but not for this client.
    Refused(String),
}

/// The host that network-boots from this MAC: as the repository says or, where it says nothing, as observed: the NIC it
/// was seen to boot from, or any that its BMC lists. `None` for a BMC's MAC, an unknown one, and a second NIC of a host
/// whose boot NIC the repository names.
pub fn host_by_mac(world: &World, mac: Mac) -> Option<&Arc<HostSpec>> {
    let desired = world.desired.as_ref()?;
    match desired.by_mac(mac) {
        Some((id, MacRole::Boot)) => desired.hosts.get(id),
        Some((_, MacRole::Bmc)) => None,
        None => {
            let observed = |id: &&HostId| world.facts(id).is_some_and(|facts| observed_at(facts, mac));
            let id = world.boot_macs.get(&mac).filter(observed).or_else(|| nic::lister(world, mac))?;
            desired.hosts.get(id).filter(|spec| spec.boot_mac.is_none())
        }
    }
}

/// The MAC that the address is leased to: who is asking, when a request carries nothing but its source.
pub fn host_by_address(world: &World, address: IpAddr) -> Option<Mac> {
    match address.to_canonical() {
        IpAddr::V4(v4) => world.leases.holder(v4)?.mac,
        IpAddr::V6(_) => None,
    }
}

/// Whether the facts (not only the index over them) say that the host boots from this NIC.
fn observed_at(facts: &HostFacts, mac: Mac) -> bool {
    let inventory = facts.inventory.as_ref().and_then(|(inventory, _)| inventory.boot_mac);
    facts.boot_mac.or(inventory) == Some(mac)
}

/// Whether the machine with this boot MAC is to be installed.
pub fn decide(world: &World, mac: Mac) -> Decision {
    let Some(spec) = host_by_mac(world, mac) else {
        return Decision::Local { host: None, how: LocalBoot::Auto, why: why_unknown(world, mac) };
    };
    match refusal(world, spec) {
        None => Decision::Install { host: spec.id.clone() },
        Some(why) => Decision::Local { host: Some(spec.id.clone()), how: spec.local_boot, why },
    }
}

fn why_unknown(world: &World, mac: Mac) -> &'static str {
    match &world.desired {
        None => "no revision of the repository is in force yet",
        Some(desired) if desired.by_mac(mac).is_some() => "this is a BMC, not a machine",
        Some(_) => "unknown machine",
    }
}

/// Why a host of the repository must not be given its installer now; `None` when it must.
fn refusal(world: &World, spec: &HostSpec) -> Option<&'static str> {
    match spec.state {
        Lifecycle::Present => {}
        Lifecycle::Maintenance => return Some("the host is in maintenance"),
        Lifecycle::Retired => return Some("the host is retired"),
    }
    let facts = world.facts(&spec.id);
    let wanted = spec.generation;
    if let Some(installed) = facts.and_then(|facts| facts.installed.as_ref()) {
        if installed.generation == wanted {
            return Some("the host is installed at the wanted generation");
        }
        if installed.generation > wanted {
            return Some("the repository's generation is lower than the installed one");
        }
    }
    if world.consent != Consent::Open {
        return Some("nothing may be armed: neither journal, nor status branch, nor --first-run");
    }
    if !facts.map_or_else(|| spec.knows_disk(&Default::default()), |facts| spec.knows_disk(&facts.bmc)) {
        return Some("the disk in the host's chassis slot is not known yet");
    }
    let announced = facts.and_then(|facts| facts.intent);
    if announced < Some(wanted) {
        return Some("the status branch has not announced this install yet");
    }
    if facts.and_then(|facts| facts.held) >= Some(wanted) {
        return Some("the outcome of an earlier install of this generation is unknown");
    }
    let armed = facts.and_then(|facts| facts.armed).map(|armed| armed.generation);
    if spec.has_bmc() && armed != Some(wanted) {
        return Some("the host is not armed for this generation");
    }
    // A host with a BMC was armed when its images were there; without one, this is where it waits for them. Once it has
    // claimed, its installer goes on: an image being verified anew is asked for again, and so is a secret.
    let claimed = facts.and_then(|facts| facts.claim.as_ref()).is_some_and(|claim| claim.generation == wanted);
    if !claimed && !spec.blocked.is_empty() {
        return Some("the host needs a secret that cannot be read");
    }
    if !spec.has_bmc() && !claimed && !super::image::all_verified(world, spec) {
        return Some("an image of its installer is not verified yet");
    }
    None
}

/// The boot part of the DHCP answer to this client; `None` for clients that do not network-boot (BMCs, operating
/// systems) and for hosts told to boot locally by `LocalBoot::Firmware`.
///
/// The answer is the same whether the machine is to be installed or not: the boot script it then asks for decides.
pub fn dhcp(world: &World, mac: Mac, firmware: Firmware) -> Option<BootOptions> {
    let site = &world.policy.site;
    let file = if firmware.ipxe {
        format!("{}/boot/{mac}/boot.ipxe", site.http_base())
    } else if firmware.http || matches!(firmware.arch, Some(16 | 19)) {
        // RFC 4578 types as IANA extended them: 16 is x64 UEFI HTTP, 11 and 19 are arm64 UEFI (PXE, HTTP).
        match firmware.arch {
            Some(11 | 19) => format!("{}/assets/ipxe-arm64.efi", site.http_base()),
            _ => format!("{}/assets/ipxe.efi", site.http_base()),
        }
    } else {
        match firmware.arch {
            // A PXE ROM older than option 93 is a BIOS one.
            None if firmware.pxe => "undionly.kpxe".into(),
            Some(0) => "undionly.kpxe".into(),
            Some(6 | 7 | 9) => "ipxe.efi".into(),
            Some(11) => "ipxe-arm64.efi".into(),
            _ => return None,
        }
    };
    let is_bmc = world.desired.as_ref().is_some_and(|d| matches!(d.by_mac(mac), Some((_, MacRole::Bmc))));
    let silent = matches!(decide(world, mac), Decision::Local { how: LocalBoot::Firmware, .. });
    (!is_bmc && !silent).then_some(BootOptions { next_server: site.address, file })
}

/// Contents of the boot file `name` (`boot.ipxe`, `mac-<12 hex>.preseed`, …) of the machine with this boot MAC, for a
/// client at `source`.
///
/// Whoever is not to be installed finds nothing but a `boot.ipxe` that boots the local disk; that one may be read from
/// anywhere.
pub fn file(world: &World, mac: Mac, name: &str, source: IpAddr) -> FileAnswer {
    let host = match decide(world, mac) {
        Decision::Local { how, .. } if name == "boot.ipxe" => return FileAnswer::Body(Arc::from(how.script())),
        Decision::Local { .. } => return FileAnswer::NotFound,
        Decision::Install { host } => host,
    };
    let Some((spec, file)) = world.spec(&host).and_then(|spec| {
        let file = spec.files.iter().find(|file| is_named(&file.name, name, mac))?;
        Some((spec, file))
    }) else {
        return FileAnswer::NotFound;
    };
    if let Err(why) = may_read(world, mac, source) {
        return FileAnswer::Refused(why);
    }
    let none = Default::default();
    let Some(body) = spec.body_for(file, world.facts(&host).map_or(&none, |facts| &facts.bmc)) else {
        return FileAnswer::NotFound;
    };
    if file.claims { FileAnswer::Claim { mac, body } } else { FileAnswer::Body(body) }
}

/// Whether `name` is what `pattern` (with `{mac}` for the boot MAC's twelve hex digits) is called for this MAC.
fn is_named(pattern: &str, name: &str, mac: Mac) -> bool {
    let Some((before, after)) = pattern.split_once("{mac}") else { return pattern == name };
    let digits = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    // Compared without making a string of the MAC; upper case is not the name (PVC's files are lower case).
    let mut octets = [0; 6];
    digits.is_some_and(|digits| {
        digits.len() == 12
            && !digits.bytes().any(|b| b.is_ascii_uppercase())
            && hex::decode_to_slice(digits, &mut octets).is_ok()
            && octets == mac.0
    })
}

/// A machine's own files are for the address leased to its MAC. Where another server leases the addresses and has told
/// us nothing, there is nothing to compare with.
fn may_read(world: &World, mac: Mac, source: IpAddr) -> Result<(), String> {
    let source = source.to_canonical();
    match world.leases.of(mac) {
        Some(lease) if source == IpAddr::V4(lease.ip) => Ok(()),
        Some(lease) => Err(format!("{source} is not the address leased to {mac} ({})", lease.ip)),
        None if world.policy.site.leases_are_ours => Err(format!("no address is leased to {mac}")),
        None => Ok(()),
    }
}
