//! RFC 2131's client states, offers to a whole rack, and where answers go.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::*;
use rackwright::plan::report::report;
use rackwright::plan::{plan, reduce};
use rackwright::serve::dhcp::destination::{Destination, destination};
use rackwright::serve::dhcp::notes;
use rackwright::serve::dhcp::respond::{Answer, DropReason, Here, Offers, respond};
use rackwright::serve::dhcp::wire::{Kind, option};

use crate::rig::net::*;
use crate::rig::net_dhcp::*;

#[test]
fn the_states_of_rfc_2131() {
    let mut world = rack();
    let me = mac(3);
    let a = [10, 255, 255, 104];
    let says = |world: &World, raw: Raw| kinds(&asked(world, &raw));
    // SELECTING
    assert_eq!(says(&world, Raw::new(3, me).with(54, SERVER).with(50, a)), "lease");
    assert_eq!(says(&world, Raw::new(3, me).with(54, [192, 0, 2, 1]).with(50, a)), "foreign");
    assert_eq!(says(&world, Raw::new(3, me).with(54, SERVER)), "incomplete");
    assert_eq!(says(&world, Raw::new(3, me).with(54, SERVER).with(50, [10, 255, 255, 7])), "nak");
    // INIT-REBOOT
    assert_eq!(says(&world, Raw::new(3, me).with(50, a)), "lease");
    assert_eq!(says(&world, Raw::new(3, me).with(50, [192, 168, 1, 5])), "nak", "we are the authority here");
    lease_to(&mut world, me, a.into(), NOW + Duration::from_secs(60));
    assert_eq!(says(&world, Raw::new(3, me).with(50, a)), "lease");
    assert_eq!(says(&world, Raw::new(3, me).with(50, [10, 255, 255, 105])), "nak", "it holds another address");
    assert_eq!(says(&world, Raw::new(3, mac(5)).with(50, a)), "nak", "somebody else's");
    // RENEWING, REBINDING
    assert_eq!(says(&world, Raw::new(3, me).ciaddr(a.into())), "lease");
    assert_eq!(says(&world, Raw::new(3, mac(5)).ciaddr(a.into())), "nak");
    assert_eq!(says(&world, Raw::new(3, me).ciaddr(ip("192.168.1.5"))), "nak");
    assert_eq!(says(&world, Raw::new(3, me)), "incomplete");
    // DECLINE, RELEASE: only by the holder.
    assert_eq!(says(&world, Raw::new(4, me).with(50, a).with(54, SERVER)), "tell");
    assert_eq!(says(&world, Raw::new(4, mac(5)).with(50, a)), "not-held");
    assert_eq!(says(&world, Raw::new(4, me)), "incomplete");
    assert_eq!(says(&world, Raw::new(7, me).ciaddr(a.into()).with(54, SERVER)), "tell");
    assert_eq!(says(&world, Raw::new(7, mac(5)).ciaddr(a.into())), "not-held");
    // INFORM: no address, no times.
    let (inform, message, _) = reply(&world, &Raw::new(8, me).ciaddr(ip("10.255.255.200")));
    assert_eq!(
        (inform.kind, message.yiaddr(), message.ciaddr()),
        (Kind::Ack, Ipv4Addr::UNSPECIFIED, ip("10.255.255.200"))
    );
    assert_eq!(inform.option(option::LEASE_TIME), None);
    assert!(inform.option(option::ROUTER).is_some());
    // What is told to the inbox.
    match asked(&world, &Raw::new(3, me).ciaddr(a.into())) {
        Answer::Lease { event, .. } => assert_eq!(
            event,
            Event::Leased { mac: me, ip: a.into(), until: NOW + Duration::from_secs(3600), by: LeaseOrigin::Own }
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rack_that_powers_on_at_once_is_offered_different_addresses() {
    let (world, mut offers, mut seen) = (rack(), Offers::default(), BTreeSet::new());
    for n in 20..30 {
        match respond(&world, &request_of(&ipxe(1, mac(n))), HERE, &offers, NOW) {
            Answer::Send(reply) => {
                offers.insert(reply.yiaddr, mac(n), NOW);
                assert!(seen.insert(reply.yiaddr), "{} twice", reply.yiaddr);
            }
            other => panic!("{other:?}"),
        }
    }
    // The eleventh client of ten addresses still gets an offer: nothing is leased yet.
    assert_eq!(kinds(&respond(&world, &request_of(&ipxe(1, mac(30))), HERE, &offers, NOW)), "offer");
    // A second DISCOVER is the same offer.
    let again = |offers: &Offers| match respond(&world, &request_of(&ipxe(1, mac(20))), HERE, offers, NOW) {
        Answer::Send(reply) => reply.yiaddr,
        other => panic!("{other:?}"),
    };
    assert_eq!(again(&offers), again(&offers));
}

#[test]
fn where_answers_go() {
    let world = rack();
    let at = |raw: &Raw, from: &str, port| {
        let (reply, ..) = reply(&world, raw);
        match destination(&reply, &request_of(raw), from.parse().unwrap(), port) {
            Destination::Udp(to) => to.to_string(),
            Destination::Hardware(to) => format!("frame to {to}"),
        }
    };
    let direct = bmc(1, mac(2));
    let (offered, ..) = reply(&world, &direct);
    assert_eq!(at(&direct, "0.0.0.0:68", 67), format!("frame to {}:68", offered.yiaddr), "no address, no flag");
    let mut flagged = direct.clone();
    flagged.flags = 0x8000;
    assert_eq!(at(&flagged, "0.0.0.0:68", 67), "255.255.255.255:68");
    assert_eq!(at(&direct.clone().relay("10.255.255.2"), "10.255.255.2:67", 67), "10.255.255.2:67");
    assert_eq!(at(&flagged.relay("10.255.255.2"), "10.255.255.2:67", 67), "10.255.255.2:67");
    assert_eq!(at(&bmc(3, mac(2)).ciaddr(ip("10.255.255.104")), "10.255.255.104:68", 67), "10.255.255.104:68");
    assert_eq!(at(&bmc(3, mac(2)).ciaddr(ip("10.255.255.7")), "10.255.255.7:68", 67), "255.255.255.255:68", "a NAK");
    let lost = bmc(3, mac(2)).with(50, [192, 0, 2, 1]);
    assert_eq!(at(&lost, "0.0.0.0:68", 67), "255.255.255.255:68", "a NAK to nobody's address");
    assert_eq!(at(&bmc(8, mac(2)).ciaddr(ip("10.255.255.7")), "10.255.255.7:68", 67), "10.255.255.7:68");
    assert_eq!(at(&direct, "127.0.0.1:5000", 6767), "127.0.0.1:6768");
    assert_eq!(at(&direct, "0.0.0.0:6768", 6767), "255.255.255.255:6768");
    assert_eq!(at(&direct.relay("10.255.255.2"), "127.0.0.1:5000", 6767), "127.0.0.1:5000");
    // A relayed NAK must be broadcast by the relay.
    let raw = bmc(3, mac(2)).relay("10.255.255.2").with(50, [192, 0, 2, 1]);
    assert_eq!(reply(&world, &raw).2[10..12], [0x80, 0]);
}

/// The same segment with a second subnet on the same wire.
const TWO: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 255, 255, 1), Ipv4Addr::new(192, 0, 2, 1)];

fn two_subnets() -> World {
    let mut world = rack();
    let mut other = subnet();
    other.net = "192.0.2.0/24".parse().unwrap();
    (other.first, other.last, other.gateway) = (ip("192.0.2.100"), ip("192.0.2.109"), None);
    world.policy = Arc::new(policy(vec![subnet(), other]));
    world
}

fn heard(world: &World, raw: &Raw, here: Here<'_>) -> Answer {
    respond(world, &request_of(raw), here, &Offers::default(), NOW)
}

#[test]
fn the_server_is_named_by_the_address_it_was_heard_at() {
    let world = two_subnets();
    let second = Here { id: TWO[1], segments: &TWO[1..], ours: &TWO, broadcast: true };
    let Answer::Send(offer) = heard(&world, &edk2_pxe(1, mac(3)), second) else { panic!("no offer") };
    assert_eq!(offer.option(option::SERVER_ID), Some(&[192, 0, 2, 1][..]));
    assert_eq!(offer.siaddr, ip("10.255.255.1"), "what machines are told of TFTP and HTTP stays");
    assert!(world.policy.site.subnets[1].net.contains(&offer.yiaddr));
    // Two interfaces on one wire both hear the request: it is ours on both, and answered in the name it asks for.
    let select = edk2_pxe(3, mac(3)).with(54, [10, 255, 255, 1]).with(50, offer.yiaddr.octets());
    let Answer::Lease { ack, .. } = heard(&world, &select, second) else { panic!("no lease") };
    assert_eq!(ack.option(option::SERVER_ID), Some(&[10, 255, 255, 1][..]));
    // An interface without an address on a served segment is not served.
    let nowhere = Here { id: TWO[0], segments: &[], ours: &TWO, broadcast: true };
    assert_eq!(heard(&world, &bmc(1, mac(2)), nowhere), Answer::Drop(DropReason::UnknownSegment));
    assert_eq!(kinds(&heard(&world, &bmc(1, mac(2)).relay("192.0.2.9"), nowhere)), "offer");
}

#[test]
fn a_wire_with_two_subnets_keeps_clients_where_they_are_known() {
    let mut world = two_subnets();
    let both = Here { id: TWO[0], segments: &TWO, ours: &TWO, broadcast: true };
    let offered = |world: &World, raw: &Raw| match heard(world, raw, both) {
        Answer::Send(reply) => reply.yiaddr,
        other => panic!("{other:?}"),
    };
    assert!(subnet().net.contains(&offered(&world, &bmc(1, mac(40)))));
    assert_eq!(offered(&world, &bmc(1, mac(40)).with(50, [192, 0, 2, 105])), ip("192.0.2.105"));
    lease_to(&mut world, mac(41), ip("192.0.2.107"), NOW);
    assert_eq!(offered(&world, &bmc(1, mac(41))), ip("192.0.2.107"));
    // REBINDING is broadcast: whose address belongs to another wire has moved.
    let first = Here { segments: &TWO[..1], ..both };
    let rebind = bmc(3, mac(41)).ciaddr(ip("192.0.2.107"));
    assert_eq!(kinds(&heard(&world, &rebind, first)), "nak");
    assert_eq!(kinds(&heard(&world, &rebind, Here { broadcast: false, ..first })), "lease", "RENEWING crosses routers");
    assert_eq!(kinds(&heard(&world, &rebind, both)), "lease");
}

#[test]
fn beside_another_server_unknown_clients_are_left_alone() {
    let mut world = rack();
    let asks = |world: &World, raw: &Raw| kinds(&heard(world, raw, HERE));
    let reboot = bmc(3, mac(50)).with(50, [192, 168, 1, 5]);
    let renew = bmc(3, mac(50)).ciaddr(ip("10.255.255.200"));
    assert_eq!((asks(&world, &reboot), asks(&world, &renew)), ("nak", "nak"));
    world.foreign_dhcp = Some((ip("192.0.2.66"), NOW));
    assert_eq!((asks(&world, &reboot), asks(&world, &renew)), ("perhaps-theirs", "perhaps-theirs"));
    // Ours stay ours: who took our offer, and who has a lease.
    assert_eq!(asks(&world, &bmc(3, mac(50)).with(54, SERVER).with(50, [10, 255, 255, 7])), "nak");
    lease_to(&mut world, mac(50), ip("10.255.255.100"), NOW + Duration::from_secs(60));
    assert_eq!(asks(&world, &reboot), "nak");
    world.foreign_dhcp = Some((ip("192.0.2.66"), NOW - Duration::from_secs(7200)));
    assert_eq!(asks(&world, &bmc(3, mac(51)).with(50, [192, 168, 1, 5])), "nak", "that was two hours ago");
}

#[test]
fn a_full_range_is_said_to_be_full() {
    let mut world = rack();
    for n in 0..10 {
        lease_to(
            &mut world,
            mac(60 + n),
            Ipv4Addr::from(u32::from(subnet().first) + n as u32),
            NOW + Duration::from_secs(9),
        );
    }
    assert_eq!(heard(&world, &bmc(1, mac(99)), HERE), Answer::Exhausted(subnet().net));
    assert_eq!(kinds(&heard(&world, &bmc(1, mac(60)), HERE)), "offer", "who has an address keeps it");
    let readme = |world: &World| report(world, &plan(world, NOW))["README.md"].clone();
    let full = |full| Event::RangeFull { subnet: subnet().net, full };
    let (before, quiet) = (world.clone(), readme(&world));
    assert_eq!(reduce(&mut world, &full(true), NOW), Verdict::Ok);
    assert!(readme(&world).contains("dynamic range of 10.255.255.0/24"), "{}", readme(&world));
    assert_ne!(plan(&world, NOW).fingerprint, plan(&before, NOW).fingerprint, "it is published");
    assert!(!world.differs_only_in_leases(&before));
    // Told again it is full since the first time; and it is kept.
    reduce(&mut world, &full(true), NOW + Duration::from_secs(60));
    assert_eq!(world.full_ranges[&subnet().net], NOW);
    let kept = serde_json::to_string(&world.snapshot()).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&kept).unwrap().facts.full_ranges, world.full_ranges);
    reduce(&mut world, &full(false), NOW);
    assert_eq!(readme(&world), quiet);
}

#[test]
fn the_trace_names_client_question_and_answer() {
    let (world, zero) = (rack(), Ipv4Addr::UNSPECIFIED);
    let asked = |raw: &Raw| notes::asked(&request_of(raw)).to_string();
    assert_eq!(asked(&edk2_pxe(1, mac(3))), "discover (UEFI x64 PXE)");
    assert_eq!(asked(&edk2_http(1, mac(3))), "discover (UEFI x64 HTTP boot)");
    assert_eq!(asked(&ipxe(3, mac(3)).with(50, [192, 0, 2, 7])), "request 192.0.2.7 (iPXE)");
    assert_eq!(asked(&bmc(1, mac(2)).relay("10.255.255.2")), "discover by relay 10.255.255.2");
    let (offer, ..) = reply(&world, &edk2_pxe(1, mac(3)));
    assert_eq!(notes::answered(&offer).to_string(), format!("offer {}, ipxe.efi from 10.255.255.1", offer.yiaddr));
    let (script, ..) = reply(&world, &ipxe(1, mac(3)));
    assert!(
        notes::answered(&script).to_string().ends_with("http://10.255.255.1:9999/boot/52:54:00:00:00:03/boot.ipxe")
    );
    let (nak, ..) = reply(&world, &bmc(3, mac(2)).ciaddr(ip("10.255.255.7")));
    assert_eq!(notes::answered(&nak).to_string(), "nak: this address is not yours on this segment");
    assert_eq!((nak.yiaddr, nak.ciaddr), (zero, zero));
    // Renewals and strangers would push a boot chain out.
    let belongs = |raw: &Raw| notes::belongs(&world, &request_of(raw));
    assert!(
        belongs(&edk2_pxe(1, mac(99))) && belongs(&bmc(1, mac(2))) && belongs(&bmc(3, mac(3)).with(50, [1, 2, 3, 4]))
    );
    assert!(!belongs(&bmc(3, mac(2)).ciaddr(ip("10.255.255.104"))) && !belongs(&bmc(1, mac(99))));
}
