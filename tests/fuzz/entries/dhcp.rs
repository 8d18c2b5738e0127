//! Datagrams and frames to the DHCP server, alone on its segment (`dhcp`) and beside another (`pxe`).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::{Event, Policy, Subnet, Time, Verdict, World};
use rackwright::plan::reduce;
use rackwright::serve::dhcp::destination::{destination, to_asker};
use rackwright::serve::dhcp::netboot::{self, Port};
use rackwright::serve::dhcp::respond::{Answer, Here, Offers, respond};
use rackwright::serve::dhcp::wire::{self, Kind, Packet, Reply, Request, option, options};
use rackwright::serve::dhcp::{frame, notes};

const NOW: Time = Time::from_secs(1_800_000_000);
const OURS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 255, 255, 1), Ipv4Addr::new(192, 0, 2, 1)];
const HERE: Here<'static> = Here { id: OURS[0], segments: &OURS, ours: &OURS, broadcast: true };
/// Header, cookie, message type, overload and end: what there is of any answer.
const LEAST: usize = 240 + 3 + 3 + 1;

fn world(leases_are_ours: bool) -> World {
    let subnet = |net: [u8; 3], prefix: &str| Subnet {
        net: prefix.parse().expect("a subnet"),
        first: Ipv4Addr::new(net[0], net[1], net[2], 100),
        last: Ipv4Addr::new(net[0], net[1], net[2], 103),
        gateway: Some(Ipv4Addr::new(net[0], net[1], net[2], 254)),
        dns: vec![OURS[0]; 20],
        domain: Some("boot.example.net".into()),
        ntp: vec![OURS[0]; 20],
        lease_time: Duration::from_secs(3600),
    };
    let mut policy = Policy::default();
    policy.site.address = OURS[0];
    policy.site.subnets = vec![subnet([10, 255, 255], "10.255.255.0/24"), subnet([192, 0, 2], "192.0.2.0/24")];
    policy.site.leases_are_ours = leases_are_ours;
    World::new(Arc::new(policy))
}

fn request(octets: &[u8]) -> Option<Request> {
    match wire::parse(octets) {
        Ok(Packet::Request(request)) => {
            assert!(octets.len() > 240 && octets[..3] == [1, 1, 6] && octets[236..240] == [99, 130, 83, 99]);
            assert!(request.mac.0[0] & 1 == 0);
            Some(request)
        }
        Ok(Packet::FromServer(_)) | Err(_) => None,
    }
}

/// Whatever is answered can be read, is no longer than the client can take, and carries the relay's option last.
fn check(reply: &Reply, request: &Request) {
    let out = wire::encode(reply, request);
    let limit = usize::from(request.max_size.unwrap_or(576)).clamp(576, 1500) - 28;
    let relay = &request.relay.raw;
    assert!((300..=limit.max(LEAST + relay.len())).contains(&out.len()), "{} octets", out.len());
    let last = out.iter().rposition(|octet| *octet == 255).expect("an end");
    assert!(out[..last].ends_with(relay));
    let kinds: Vec<_> = options::pieces(&out[240..], true).map(|(code, _)| code).collect();
    assert_eq!(kinds[0], option::MESSAGE_TYPE);
    let from = "192.0.2.9:68".parse().expect("an address");
    for port in [67, 6767, u16::MAX] {
        destination(reply, request, from, port);
    }
    to_asker(request, from);
    assert!(notes::asked(request).to_string().len() < 200);
    notes::answered(reply).to_string();
}

/// A datagram to port 67, or a frame that is overheard.
pub fn dhcp(octets: &[u8]) {
    if let Some(payload) = frame::read(octets) {
        assert!(payload.len() <= octets.len());
        let _ = wire::parse(payload);
    }
    let Some(request) = request(octets) else { return };
    for broadcast in [true, false] {
        let mut world = world(true);
        let here = Here { broadcast, ..HERE };
        // Twice: what was granted is granted again.
        for _ in 0..2 {
            match respond(&world, &request, here, &Offers::default(), NOW) {
                Answer::Send(reply) => {
                    assert!(reply.kind != Kind::Offer || !reply.yiaddr.is_unspecified());
                    check(&reply, &request);
                }
                Answer::Lease { event, ack, nak } => {
                    assert!(matches!(event, Event::Leased { mac, ip, .. } if mac == request.mac && ip == ack.yiaddr));
                    assert_eq!(reduce(&mut world, &event, NOW), Verdict::Ok);
                    check(&ack, &request);
                    check(&nak, &request);
                }
                Answer::Tell(event) => {
                    reduce(&mut world, &event, NOW);
                }
                Answer::Foreign(_) | Answer::Exhausted(_) | Answer::Drop(_) => {}
            }
        }
    }
}

/// A datagram to port 67 or 4011 beside another server.
pub fn pxe(octets: &[u8]) {
    let Some(request) = request(octets) else { return };
    let world = world(false);
    for port in [Port::Server, Port::Boot] {
        match netboot::respond(&world, &request, HERE, port) {
            Answer::Send(reply) => {
                let firmware = request.firmware;
                assert!(firmware.pxe || firmware.http || firmware.ipxe, "only firmware is answered");
                assert!(reply.yiaddr.is_unspecified() && reply.option(option::LEASE_TIME).is_none());
                assert!(!reply.file.is_empty() && reply.option(option::VENDOR_CLASS).is_some());
                check(&reply, &request);
            }
            Answer::Drop(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
