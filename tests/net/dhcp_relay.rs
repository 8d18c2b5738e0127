//! DHCP behind relays: option 82 and what it chooses, and relays nobody should answer.

use std::sync::Arc;

use proptest::prelude::*;
use rackwright::model::*;
use rackwright::serve::dhcp::respond::{Answer, DropReason};
use rackwright::serve::dhcp::wire::option;

use crate::rig::net::*;
use crate::rig::net_dhcp::*;

#[test]
fn a_relays_option_goes_back_bit_by_bit_and_last() {
    // Sub-options out of order, a repeated one and an empty one: nothing may be tidied up.
    let info = [2, 2, 0xaa, 0xbb, 1, 4, b'e', b't', b'h', b'0', 9, 0, 2, 1, 0xcc];
    let raw = edk2_pxe(1, mac(3)).relay("10.255.255.2").with(82, info);
    let (_, message, bytes) = reply(&rack(), &raw);
    assert_eq!(options(&bytes).last().unwrap(), &(82, info.to_vec()));
    assert_eq!(message.giaddr(), ip("10.255.255.2"));
    assert_eq!(asked(&rack(), &edk2_pxe(1, mac(3)).relay("192.0.2.1")), Answer::Drop(DropReason::UnknownSegment));
}

/// Every option 82 of a packet as it lies there.
fn relay_options(bytes: &[u8]) -> Vec<u8> {
    let all = options(bytes).into_iter().filter(|(code, _)| *code == 82);
    all.flat_map(|(code, data)| [vec![code, data.len() as u8], data].concat()).collect()
}

#[test]
fn empty_repeated_and_nonsensical_relay_options_go_back_too() {
    let odd: [&[&[u8]]; 4] = [&[&[]], &[&[5, 4, 1]], &[&[1, 2, 3, 4], &[9, 9]], &[&[0, 255, 255]]];
    for parts in odd {
        let raw = parts.iter().fold(bmc(1, mac(2)).relay("10.255.255.2"), |raw, part| raw.with(82, part));
        let (.., bytes) = reply(&rack(), &raw);
        assert_eq!(relay_options(&bytes), relay_options(&raw.bytes()), "{parts:?}");
        assert_eq!(options(&bytes).last().unwrap().0, 82);
    }
}

proptest! {
    #[test]
    fn any_relay_option_goes_back_octet_by_octet(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..4),
    ) {
        let world = rack();
        // A selected subnet of somebody else's would be a reason not to answer.
        let chooses = parts.concat().contains(&5);
        let raw = parts.iter().fold(bmc(1, mac(2)).relay("10.255.255.2"), |raw, part| raw.with(82, part));
        if !chooses {
            let (.., bytes) = reply(&world, &raw);
            prop_assert_eq!(relay_options(&bytes), relay_options(&raw.bytes()));
        }
    }
}

/// A second segment that no interface of ours is on.
fn routed() -> World {
    let mut world = rack();
    let mut far = subnet();
    far.net = "192.0.2.0/24".parse().unwrap();
    (far.first, far.last, far.gateway) = (ip("192.0.2.100"), ip("192.0.2.109"), Some(ip("192.0.2.254")));
    world.policy = Arc::new(policy(vec![subnet(), far]));
    world
}

#[test]
fn relays_and_clients_choose_the_subnet() {
    let world = routed();
    let offered = |raw: &Raw| {
        let (offer, ..) = reply(&world, raw);
        (offer.yiaddr.octets()[0], offer.option(option::SUBNET_SELECTION).map(<[u8]>::to_vec))
    };
    let link = [5, 4, 192, 0, 2, 0];
    assert_eq!(offered(&bmc(1, mac(2)).relay("192.0.2.9")), (192, None));
    assert_eq!(offered(&bmc(1, mac(2)).relay("10.255.255.2")), (10, None));
    // RFC 3527: the relay is reached at one address and speaks for another subnet.
    assert_eq!(offered(&bmc(1, mac(2)).relay("10.255.255.2").with(82, link)), (192, None));
    assert_eq!(offered(&bmc(1, mac(2)).relay("203.0.113.9").with(82, link)), (192, None));
    // RFC 3011: so may the client, and it is told that it was heard; the relay's word counts more.
    let wish = bmc(1, mac(2)).with(118, [192, 0, 2, 0]);
    assert_eq!(offered(&wish), (192, Some(vec![192, 0, 2, 0])));
    let near = [5, 4, 10, 255, 255, 0];
    assert_eq!(offered(&wish.relay("10.255.255.2").with(82, near)).0, 10);
    let unknown = bmc(1, mac(2)).relay("10.255.255.2").with(82, [5, 4, 203, 0, 113, 0]);
    assert_eq!(
        asked(&world, &unknown),
        Answer::Drop(DropReason::UnknownSegment),
        "no address of another subnet instead"
    );
    // Without a relay nobody may speak as one.
    assert_eq!(offered(&bmc(1, mac(2)).with(82, link)).0, 10);
}

#[test]
fn a_relay_may_stand_in_for_the_server() {
    let world = routed();
    // RFC 5107: clients see the relay as their server, and renew through it.
    let through = |raw: Raw| raw.relay("192.0.2.9").with(82, [11, 4, 192, 0, 2, 9]);
    let (offer, ..) = reply(&world, &through(bmc(1, mac(2))));
    assert_eq!(offer.option(option::SERVER_ID), Some(&[192, 0, 2, 9][..]));
    let select = bmc(3, mac(2)).with(54, [192, 0, 2, 9]).with(50, offer.yiaddr.octets());
    assert_eq!(kinds(&asked(&world, &through(select.clone()))), "lease");
    assert_eq!(kinds(&asked(&world, &select.relay("192.0.2.9"))), "foreign", "no relay says so");
    let (renewed, ..) = reply(&world, &through(bmc(3, mac(2)).ciaddr(offer.yiaddr)));
    assert_eq!(renewed.option(option::SERVER_ID), Some(&[192, 0, 2, 9][..]));
}

#[test]
fn relays_that_cannot_be_are_not_answered() {
    let world = routed();
    let hops = |hops: u8| {
        let mut bytes = bmc(1, mac(2)).relay("10.255.255.2").bytes();
        bytes[3] = hops;
        match rackwright::serve::dhcp::wire::parse(&bytes) {
            Ok(rackwright::serve::dhcp::wire::Packet::Request(request)) => {
                let none = Default::default();
                kinds(&rackwright::serve::dhcp::respond::respond(&world, &request, HERE, &none, NOW))
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((hops(0), hops(16), hops(17), hops(255)), ("offer", "offer", "too-many-hops", "too-many-hops"));
    for nobody in ["255.255.255.255", "224.0.0.1", "0.0.0.9"] {
        let raw = bmc(1, mac(2)).relay(nobody).with(82, [5, 4, 192, 0, 2, 0]);
        assert_eq!(asked(&world, &raw), Answer::Drop(DropReason::BadRelay), "{nobody}");
    }
}
