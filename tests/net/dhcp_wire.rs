//! DHCP on the wire: what each client gets, hostile bytes, and packets that are too small.

use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcproto::v4::{DhcpOption, Message, OptionCode};
use dhcproto::{Decodable, Decoder};
use proptest::prelude::*;
use rackwright::model::*;
use rackwright::serve::dhcp::respond::{Answer, Offers, respond};
use rackwright::serve::dhcp::wire::{self, Kind, Malformed, Packet, option};

use crate::rig::net::*;
use crate::rig::net_dhcp::*;

#[test]
fn edk2_pxe_is_offered_its_loader() {
    let (reply, message, bytes) = reply(&rack(), &edk2_pxe(1, mac(3)));
    assert_eq!(reply.kind, Kind::Offer);
    assert_eq!(message.siaddr(), HERE.id);
    assert_eq!(message.sname_str().unwrap().unwrap().trim_end_matches('\0'), "10.255.255.1");
    assert_eq!(message.fname_str().unwrap().unwrap().trim_end_matches('\0'), "ipxe.efi");
    assert_eq!(&bytes[10..12], [0x80, 0], "the broadcast flag goes back");
    let opts = message.opts();
    assert_eq!(opts.get(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(HERE.id)));
    assert_eq!(opts.get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(3600)));
    assert_eq!(opts.get(OptionCode::Renewal), Some(&DhcpOption::Renewal(1800)));
    assert_eq!(opts.get(OptionCode::Rebinding), Some(&DhcpOption::Rebinding(3150)));
    assert_eq!(opts.get(OptionCode::Hostname), Some(&DhcpOption::Hostname("hv1".into())));
    assert_eq!(opts.get(OptionCode::DomainName), Some(&DhcpOption::DomainName("boot.example.net".into())));
    assert_eq!(reply.option(option::VENDOR_CLASS), Some(&b"PXEClient"[..]));
    assert_eq!(reply.option(option::VENDOR_INFO), Some(&[6, 1, 8, 255][..]));
    assert_eq!(reply.option(option::BOOT_FILE), Some(&b"ipxe.efi"[..]));
    assert_eq!(reply.option(option::TFTP_NAME), Some(&b"10.255.255.1"[..]));
    assert_eq!(reply.option(option::MACHINE_ID).unwrap().len(), 17);
    assert_eq!(options(&bytes)[0], (53, vec![2]), "the message type comes first");
    assert!(bytes.len() >= 300);
}

#[test]
fn other_clients_get_what_they_understand() {
    let world = rack();
    let (http, _, _) = reply(&world, &edk2_http(1, mac(3)));
    assert_eq!(http.option(option::VENDOR_CLASS), Some(&b"HTTPClient"[..]));
    assert_eq!(http.option(option::VENDOR_INFO), None);
    assert_eq!(http.file, "http://10.255.255.1:9999/assets/ipxe.efi");
    for mac in [mac(3), mac(5), mac(99)] {
        let (script, _, _) = reply(&world, &ipxe(1, mac));
        assert_eq!(script.file, format!("http://10.255.255.1:9999/boot/{mac}/boot.ipxe"));
        assert_eq!((script.option(option::VENDOR_CLASS), script.option(option::VENDOR_INFO)), (None, None));
        assert_eq!(script.option(option::CLIENT_ID).unwrap()[1..], mac.0);
    }
    for raw in [bmc(1, mac(2)), bmc(1, mac(99)), uboot(1, mac(3))] {
        let (plain, message, bytes) = reply(&world, &raw);
        assert_eq!((plain.siaddr, plain.file.as_str()), (Ipv4Addr::UNSPECIFIED, ""));
        assert_eq!(plain.option(option::BOOT_FILE), None);
        assert!(!message.yiaddr().is_unspecified(), "everybody gets an address");
        assert_eq!(bytes.len(), 300.max(bytes.len()));
    }
    // A listed type counts before the one in the vendor class; several types: the first.
    let odd = Raw::new(1, mac(3)).with(93, [0, 11, 0, 7]).with(60, "PXEClient:Arch:00007:UNDI:003000");
    assert_eq!(reply(&world, &odd).0.file, "ipxe-arm64.efi");
    let silent = Raw::new(1, mac(3)).with(60, "PXEClient:Arch:00007:UNDI:003000");
    assert_eq!(reply(&world, &silent).0.file, "ipxe.efi");
}

#[test]
fn a_small_packet_keeps_what_matters() {
    let mut world = rack();
    let mut policy = (*world.policy).clone();
    policy.site.subnets[0].dns = vec![HERE.id; 60];
    policy.site.subnets[0].ntp = vec![HERE.id; 60];
    world.policy = Arc::new(policy);
    let info = [7; 100];
    let mut raw = ipxe(1, mac(3)).relay("10.255.255.2").with(82, info);
    raw.options.retain(|(code, _)| *code != 57);
    let (_, _, bytes) = reply(&world, &raw);
    assert!(bytes.len() <= 548, "{}", bytes.len());
    let got: Vec<u8> = options(&bytes).into_iter().map(|(code, _)| code).collect();
    assert!(
        got.starts_with(&[53, 54, 51, 1, 3]) && got.contains(&67) && got.contains(&61) && got.ends_with(&[82]),
        "{got:?}"
    );
    assert!(!got.contains(&6));
    let (_, _, bytes) = reply(&world, &raw.with(57, 65280_u16.to_be_bytes()));
    assert!((549..=1472).contains(&bytes.len()), "{}", bytes.len());
}

#[test]
fn nothing_hides_the_message_type() {
    // A host name that is not UTF-8, pads, an option 80 with an impossible length, all before 53.
    let mut raw = Raw::new(1, mac(3)).with(12, [0xff, 0xfe]).with(80, [1, 2, 3]).with(81, [1]).with(94, [1]);
    raw.options.rotate_left(1);
    let mut bytes = raw.bytes();
    bytes.splice(240..240, [0, 0, 0]);
    assert!(matches!(wire::parse(&bytes), Ok(Packet::Request(r)) if r.kind == Kind::Discover));
    // Options in the `file` field (52 = 1).
    let mut bytes = Raw::new(1, mac(3)).with(52, [1]).bytes();
    bytes[108..115].copy_from_slice(&[50, 4, 10, 255, 255, 103, 255]);
    assert!(matches!(wire::parse(&bytes), Ok(Packet::Request(r)) if r.requested == Some(ip("10.255.255.103"))));
}

#[test]
fn malformed_packets_are_named() {
    let good = Raw::new(1, mac(3));
    let spoilt = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.bytes();
        spoil(&mut bytes);
        wire::parse(&bytes).unwrap_err()
    };
    assert_eq!(wire::parse(&[]), Err(Malformed::TooShort));
    assert_eq!(spoilt(&|b| b.truncate(239)), Malformed::TooShort);
    assert_eq!(spoilt(&|b| b.resize(1501, 0)), Malformed::TooLong);
    assert_eq!(spoilt(&|b| b[0] = 3), Malformed::UnknownOp);
    assert_eq!(spoilt(&|b| b[0] = 2), Malformed::BadType);
    assert_eq!(spoilt(&|b| b[1] = 32), Malformed::NotEthernet);
    for hlen in [0, 5, 16, 17, 255] {
        assert_eq!(spoilt(&|b| b[2] = hlen), Malformed::NotEthernet);
    }
    assert_eq!(spoilt(&|b| b[28..34].fill(0)), Malformed::BadMac);
    assert_eq!(spoilt(&|b| b[28..34].fill(0xff)), Malformed::BadMac);
    assert_eq!(spoilt(&|b| b[237] = 0), Malformed::NoCookie);
    assert_eq!(spoilt(&|b| b.truncate(240)), Malformed::BadType);
    assert_eq!(spoilt(&|b| b[242] = 2), Malformed::BadType);
    assert_eq!(spoilt(&|b| b[242] = 9), Malformed::BadType);
    assert_eq!(wire::parse(&good.clone().with(50, [1, 2, 3]).bytes()), Err(Malformed::BadOption));
    assert_eq!(wire::parse(&good.clone().with(54, [1, 2, 3, 4, 5]).bytes()), Err(Malformed::BadOption));
    let mut answer = Raw::new(2, mac(3)).with(54, [192, 0, 2, 1]).bytes();
    answer[0] = 2;
    assert_eq!(wire::parse(&answer), Ok(Packet::FromServer(ip("192.0.2.1"))));
}

#[test]
fn names_end_where_they_end_and_loose_ends_go_where_there_is_room() {
    // Some firmware takes names for NUL-terminated and would ask for `ipxe.efi\xff`.
    let (_, _, bytes) = reply(&rack(), &edk2_pxe(1, mac(3)));
    let at = bytes.windows(10).position(|part| part == b"\x43\x08ipxe.efi").expect("option 67");
    assert_eq!(bytes[at + 10], 0);
    // A client of 576 octets that boots nothing from us: what does not fit is in `file` and `sname`.
    let mut world = rack();
    let mut policy = (*world.policy).clone();
    policy.site.subnets[0].dns = vec![HERE.id; 30];
    policy.site.subnets[0].ntp = vec![HERE.id; 25];
    policy.site.subnets[0].domain = Some("a".repeat(60));
    world.policy = Arc::new(policy);
    let raw = bmc(1, mac(2)).relay("10.255.255.2").with(82, [7; 230]);
    let (_, message, bytes) = reply(&world, &raw);
    assert!(bytes.len() <= 548, "{}", bytes.len());
    let got = options(&bytes);
    assert_eq!(got.iter().find(|(code, _)| *code == option::OVERLOAD), Some(&(option::OVERLOAD, vec![3])));
    assert_eq!(got.last().unwrap().0, 82);
    assert_eq!(bytes[108..110], [option::DNS, 120]);
    assert_eq!(bytes[44..46], [option::DOMAIN, 60]);
    assert!(message.yiaddr() != Ipv4Addr::UNSPECIFIED);
    // A client that reads them there, and whose own are read there.
    let mut echoed = bytes.clone();
    (echoed[0], echoed[242]) = (1, 1);
    assert!(wire::parse(&echoed).is_ok());
    // Firmware's `file` stays its own.
    let (_, _, bytes) = reply(&world, &edk2_pxe(1, mac(3)).relay("10.255.255.2").with(82, [7; 230]));
    assert_eq!(&bytes[108..116], b"ipxe.efi");
}

/// Header, cookie, message type, option 52 and the end.
const HEADER: usize = 240 + 3 + 3 + 1;

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let any_option = (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40));
    let base =
        prop_oneof![Just(edk2_pxe(1, mac(3))), Just(ipxe(3, mac(5))), Just(bmc(3, mac(2))), Just(uboot(8, mac(9)))];
    let edits = proptest::collection::vec((0_usize..400, any::<u8>()), 0..8);
    (base, proptest::collection::vec(any_option, 0..6), edits, 0_usize..500).prop_map(|(raw, more, edits, cut)| {
        let raw = more.into_iter().fold(raw, |raw, (code, data)| raw.with(code, data));
        let mut bytes = raw.bytes();
        for (at, octet) in edits {
            let length = bytes.len();
            bytes[at % length] = octet;
        }
        if cut < 100 {
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
        }
        bytes
    })
}

/// Whatever comes in: no panic, and an answer only to what is valid, no longer than the client can take.
fn survives(bytes: &[u8]) {
    let world = rack();
    let Ok(Packet::Request(request)) = wire::parse(bytes) else { return };
    assert!(
        bytes.len() >= 243 && bytes[0] == 1 && bytes[1] == 1 && bytes[2] == 6 && bytes[236..240] == [99, 130, 83, 99]
    );
    assert!(request.mac.0[0] & 1 == 0);
    for reply in match respond(&world, &request, HERE, &Offers::default(), NOW) {
        Answer::Send(reply) => vec![reply],
        Answer::Lease { ack, nak, event } => {
            assert!(matches!(event, Event::Leased { mac, ip, .. } if mac == request.mac && ip == ack.yiaddr));
            vec![ack, nak]
        }
        Answer::Tell(_) | Answer::Foreign(_) | Answer::Drop(_) | Answer::Exhausted(_) => vec![],
    } {
        let out = wire::encode(&reply, &request);
        let limit = usize::from(request.max_size.unwrap_or(576)).clamp(576, 1500) - 28;
        // A relay takes its own option away before the client gets the packet.
        let limit = limit.max(HEADER + request.relay.raw.len());
        assert!((300..=limit).contains(&out.len()), "{} of {limit}", out.len());
        assert!(
            out.windows(request.relay.raw.len().max(1)).any(|part| part == request.relay.raw)
                || request.relay.raw.is_empty()
        );
        let message = Message::decode(&mut Decoder::new(&out)).expect("readable");
        assert_eq!(message.xid(), request.xid);
        assert!(message.opts().msg_type().is_some());
        options(&out);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
        survives(&bytes);
    }

    #[test]
    fn mutated_packets_are_survived(bytes in any_packet()) {
        survives(&bytes);
    }
}
