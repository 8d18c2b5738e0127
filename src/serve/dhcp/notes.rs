//! What the boot-chain trace keeps of DHCP, and of whom.

use super::wire::{Kind, Reply, Request, option};
use crate::model::World;
use crate::plan::boot;
use crate::serve::trace::{BootFile, Client, DhcpAsked, DhcpOutcome, Grant, Text};

/// Whether a message belongs to a boot chain: whatever firmware says, and how a known machine or BMC comes by its
/// address. Renewals do not: they would push out what happened before.
pub fn belongs(world: &World, request: &Request) -> bool {
    if Client::from(request.firmware) != Client::System {
        return true;
    }
    let begins =
        matches!(request.kind, Kind::Discover | Kind::Request | Kind::Decline) && request.ciaddr.is_unspecified();
    let in_repository = |world: &World| world.desired.as_ref().is_some_and(|it| it.by_mac(request.mac).is_some());
    begins && (in_repository(world) || boot::host_by_mac(world, request.mac).is_some())
}

/// What was asked.
pub fn asked(request: &Request) -> DhcpAsked {
    DhcpAsked {
        kind: request.kind,
        client: request.firmware.into(),
        address: request.requested.or(Some(request.ciaddr).filter(|ip| !ip.is_unspecified())),
        relay: request.relayed().then_some(request.giaddr),
    }
}

/// What was answered.
pub fn answered(reply: &Reply) -> DhcpOutcome {
    let boot = match reply.file.as_str() {
        "" => None,
        url if url.contains("://") => Some(BootFile::Url(url.into())),
        file => Some(BootFile::Tftp { name: file.into(), server: reply.siaddr }),
    };
    let grant = Grant { address: Some(reply.yiaddr).filter(|ip| !ip.is_unspecified()), boot };
    match reply.kind {
        Kind::Nak => {
            let why = reply.option(option::MESSAGE).unwrap_or_default();
            DhcpOutcome::Nak { why: Text::from(&*String::from_utf8_lossy(why)) }
        }
        Kind::Offer => DhcpOutcome::Offer(grant),
        _ => DhcpOutcome::Ack(grant),
    }
}
