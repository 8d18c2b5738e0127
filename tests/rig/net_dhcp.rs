//! DHCP packets as real clients send them, and what tests of the server's pure halves share.

use std::net::Ipv4Addr;

use dhcproto::v4::Message;
use dhcproto::{Decodable, Decoder};
use rackwright::model::*;
use rackwright::serve::dhcp::respond::{Answer, Here, Offers, respond};
use rackwright::serve::dhcp::wire::{self, Packet, Reply, Request};

use crate::rig::net::*;

pub const SERVER: [u8; 4] = [10, 255, 255, 1];
const OURS: [Ipv4Addr; 1] = [Ipv4Addr::new(10, 255, 255, 1)];
/// An interface of the segment of `subnet()`.
pub const HERE: Here<'static> = Here { id: OURS[0], segments: &OURS, ours: &OURS, broadcast: true };

/// EDK2's PXE client: broadcast flag, x64 UEFI, its own vendor class, large packets welcome.
pub fn edk2_pxe(kind: u8, mac: Mac) -> Raw {
    let mut raw = Raw::new(kind, mac)
        .with(57, 1472_u16.to_be_bytes())
        .with(55, [1, 2, 3, 4, 5, 6, 12, 13, 15, 43, 54, 60, 67, 97, 128, 129])
        .with(97, [&[0][..], &[7; 16]].concat())
        .with(94, [1, 3, 0])
        .with(93, [0, 7])
        .with(60, "PXEClient:Arch:00007:UNDI:003000");
    raw.flags = 0x8000;
    raw
}

pub fn edk2_http(kind: u8, mac: Mac) -> Raw {
    Raw::new(kind, mac).with(93, [0, 16]).with(94, [1, 3, 0]).with(60, "HTTPClient:Arch:00016:UNDI:003001")
}

/// iPXE as SeaBIOS runs it from a NIC's ROM: a PXE vendor class, user class and encapsulated option 175.
pub fn ipxe(kind: u8, mac: Mac) -> Raw {
    Raw::new(kind, mac)
        .with(57, 1472_u16.to_be_bytes())
        .with(93, [0, 0])
        .with(94, [1, 2, 1])
        .with(60, "PXEClient:Arch:00000:UNDI:002001")
        .with(77, "iPXE")
        .with(55, [1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 175, 203])
        .with(175, [177, 5, 1, 0x1a, 0xf4, 0x10, 0, 33, 1, 1, 16, 1, 2, 255])
        .with(61, [&[1][..], &mac.0].concat())
        .with(97, [&[0][..], &[9; 16]].concat())
}

/// A BMC's busybox udhcpc.
pub fn bmc(kind: u8, mac: Mac) -> Raw {
    Raw::new(kind, mac)
        .with(61, [&[1][..], &mac.0].concat())
        .with(57, 576_u16.to_be_bytes())
        .with(55, [1, 3, 6, 12, 15, 28, 42])
        .with(60, "udhcp 1.35.0")
}

pub fn uboot(kind: u8, mac: Mac) -> Raw {
    Raw::new(kind, mac).with(57, 576_u16.to_be_bytes()).with(60, "U-Boot").with(55, [1, 3, 6, 12, 17])
}

pub fn request_of(raw: &Raw) -> Request {
    match wire::parse(&raw.bytes()) {
        Ok(Packet::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

pub fn asked(world: &World, raw: &Raw) -> Answer {
    respond(world, &request_of(raw), HERE, &Offers::default(), NOW)
}

pub fn reply(world: &World, raw: &Raw) -> (Reply, Message, Vec<u8>) {
    let reply = match asked(world, raw) {
        Answer::Send(reply) | Answer::Lease { ack: reply, .. } => reply,
        other => panic!("{other:?}"),
    };
    let bytes = wire::encode(&reply, &request_of(raw));
    let message = Message::decode(&mut Decoder::new(&bytes)).expect("dhcproto reads what we write");
    (reply, message, bytes)
}

pub fn rack() -> World {
    world(vec![(host(1), armed(1)), (host(2), installed(1))])
}

/// The value of an option in raw bytes, and the order of all options.
pub fn options(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut at, mut found) = (240, Vec::new());
    while bytes[at] != 255 {
        if bytes[at] == 0 {
            at += 1;
            continue;
        }
        let end = at + 2 + usize::from(bytes[at + 1]);
        found.push((bytes[at], bytes[at + 2..end].to_vec()));
        at = end;
    }
    found
}

/// What an answer is, in one word.
pub fn kinds(answer: &Answer) -> &'static str {
    match answer {
        Answer::Send(reply) => reply.kind.as_str(),
        Answer::Lease { .. } => "lease",
        Answer::Tell(_) => "tell",
        Answer::Foreign(_) => "foreign",
        Answer::Exhausted(_) => "exhausted",
        Answer::Drop(reason) => reason.as_str(),
    }
}
