//! DHCP: packets as real clients send them, RFC 2131's states, hostile bytes, and the server over loopback sockets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Message, OptionCode};
use dhcproto::{Decodable, Decoder};
use proptest::prelude::*;
use rackwright::model::*;
use rackwright::serve::dhcp::respond::{Answer, Offers, Reason, respond};
use rackwright::serve::dhcp::wire::{self, Kind, Malformed, Packet, Reply, Request, option};
use rackwright::serve::dhcp::{self, ServeError, destination};
use rackwright::settings::DhcpMode;

use crate::net_support::*;

const SERVER: [u8; 4] = [10, 255, 255, 1];
const HERE: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 1);

/// EDK2's PXE client: broadcast flag, x64 UEFI, its own vendor class, large packets welcome.
fn edk2_pxe(kind: u8, mac: Mac) -> Raw {
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

fn edk2_http(kind: u8, mac: Mac) -> Raw {
    Raw::new(kind, mac).with(93, [0, 16]).with(94, [1, 3, 0]).with(60, "HTTPClient:Arch:00016:UNDI:003001")
}

/// iPXE as SeaBIOS runs it from a NIC's ROM: a PXE vendor class, user class and encapsulated option 175.
fn ipxe(kind: u8, mac: Mac) -> Raw {
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
fn bmc(kind: u8, mac: Mac) -> Raw {
    Raw::new(kind, mac)
        .with(61, [&[1][..], &mac.0].concat())
        .with(57, 576_u16.to_be_bytes())
        .with(55, [1, 3, 6, 12, 15, 28, 42])
        .with(60, "udhcp 1.35.0")
}

fn uboot(kind: u8, mac: Mac) -> Raw {
    Raw::new(kind, mac).with(57, 576_u16.to_be_bytes()).with(60, "U-Boot").with(55, [1, 3, 6, 12, 17])
}

fn request_of(raw: &Raw) -> Request {
    match wire::parse(&raw.bytes()) {
        Ok(Packet::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn asked(world: &World, raw: &Raw) -> Answer {
    respond(world, &request_of(raw), HERE, &Offers::default(), NOW)
}

fn reply(world: &World, raw: &Raw) -> (Reply, Message, Vec<u8>) {
    let reply = match asked(world, raw) {
        Answer::Send(reply) | Answer::Lease { ack: reply, .. } => reply,
        other => panic!("{other:?}"),
    };
    let bytes = wire::encode(&reply, &request_of(raw));
    let message = Message::decode(&mut Decoder::new(&bytes)).expect("dhcproto reads what we write");
    (reply, message, bytes)
}

fn rack() -> World {
    world(vec![(host(1), armed(1)), (host(2), installed(1))])
}

/// The value of an option in raw bytes, and the order of all options.
fn options(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
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

#[test]
fn edk2_pxe_is_offered_its_loader() {
    let (reply, message, bytes) = reply(&rack(), &edk2_pxe(1, mac(3)));
    assert_eq!(reply.kind, Kind::Offer);
    assert_eq!(message.siaddr(), HERE);
    assert_eq!(message.sname_str().unwrap().unwrap().trim_end_matches('\0'), "10.255.255.1");
    assert_eq!(message.fname_str().unwrap().unwrap().trim_end_matches('\0'), "ipxe.efi");
    assert_eq!(&bytes[10..12], [0x80, 0], "the broadcast flag goes back");
    let opts = message.opts();
    assert_eq!(opts.get(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(HERE)));
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
fn a_relays_option_goes_back_bit_by_bit_and_last() {
    // Sub-options out of order, a repeated one and an empty one: nothing may be tidied up.
    let info = [2, 2, 0xaa, 0xbb, 1, 4, b'e', b't', b'h', b'0', 9, 0, 2, 1, 0xcc];
    let raw = edk2_pxe(1, mac(3)).relay("10.255.255.2").with(82, info);
    let (_, message, bytes) = reply(&rack(), &raw);
    assert_eq!(options(&bytes).last().unwrap(), &(82, info.to_vec()));
    assert_eq!(message.giaddr(), ip("10.255.255.2"));
    assert_eq!(asked(&rack(), &edk2_pxe(1, mac(3)).relay("192.0.2.1")), Answer::Drop(Reason::UnknownSegment));
}

#[test]
fn a_small_packet_keeps_what_matters() {
    let mut world = rack();
    let mut policy = (*world.policy).clone();
    policy.site.subnets[0].dns = vec![HERE; 60];
    policy.site.subnets[0].ntp = vec![HERE; 60];
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

fn kinds(answer: &Answer) -> &'static str {
    match answer {
        Answer::Send(reply) => reply.kind.as_str(),
        Answer::Lease { .. } => "lease",
        Answer::Tell(_) => "tell",
        Answer::Foreign(_) => "foreign",
        Answer::Drop(reason) => reason.as_str(),
    }
}

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
        destination(&reply, &request_of(raw), from.parse().unwrap(), port).to_string()
    };
    let direct = bmc(1, mac(2));
    assert_eq!(at(&direct, "0.0.0.0:68", 67), "255.255.255.255:68");
    assert_eq!(at(&direct.clone().relay("10.255.255.2"), "10.255.255.2:67", 67), "10.255.255.2:67");
    assert_eq!(at(&bmc(3, mac(2)).ciaddr(ip("10.255.255.104")), "10.255.255.104:68", 67), "10.255.255.104:68");
    assert_eq!(at(&bmc(3, mac(2)).ciaddr(ip("10.255.255.7")), "10.255.255.7:68", 67), "255.255.255.255:68", "a NAK");
    assert_eq!(at(&direct, "127.0.0.1:5000", 6767), "127.0.0.1:6768");
    assert_eq!(at(&direct, "0.0.0.0:6768", 6767), "255.255.255.255:6768");
    assert_eq!(at(&direct.relay("10.255.255.2"), "127.0.0.1:5000", 6767), "127.0.0.1:5000");
    // A relayed NAK must be broadcast by the relay.
    let raw = bmc(3, mac(2)).relay("10.255.255.2").with(50, [192, 0, 2, 1]);
    assert_eq!(reply(&world, &raw).2[10..12], [0x80, 0]);
}

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
        Answer::Tell(_) | Answer::Foreign(_) | Answer::Drop(_) => vec![],
    } {
        let out = wire::encode(&reply, &request);
        let limit = usize::from(request.max_size.unwrap_or(576)).clamp(576, 1500) - 28;
        assert!((300..=limit).contains(&out.len()), "{} of {limit}", out.len());
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

async fn serve(world: World) -> (Loop, SocketAddr, Arc<dhcp::DhcpCounters>, tokio::task::JoinSet<()>) {
    let daemon = Loop::start(world, settings(ip("127.0.0.1"), None));
    let server = dhcp::bind(&daemon.ctx).await.unwrap();
    let (address, counters) = (server.local_addr(), server.counters());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.run(daemon.ctx.clone()));
    (daemon, address, counters, tasks)
}

fn count(counters: &dhcp::DhcpCounters, kind: &str, outcome: &str) -> u64 {
    counters.snapshot().into_iter().find(|(k, o, _)| k.strip_prefix("dhcp_") == Some(kind) && *o == outcome).unwrap().2
}

#[tokio::test]
async fn four_packets_over_sockets_make_a_durable_lease() {
    let (daemon, server, counters, _tasks) = serve(rack()).await;
    let relay = Client::at("127.0.0.2:0").await;
    relay.send(&ipxe(1, mac(3)).relay("10.255.255.2").bytes(), server).await;
    let (offer, _) = relay.receive().await;
    let offered: [u8; 4] = offer[16..20].try_into().unwrap();
    assert!(daemon.events().is_empty(), "an offer needs no memory");
    let request = ipxe(3, mac(3)).relay("10.255.255.2").with(54, SERVER).with(50, offered);
    relay.send(&request.bytes(), server).await;
    let (ack, _) = relay.receive().await;
    assert_eq!(options(&ack)[0], (53, vec![5]));
    assert_eq!(ack[16..20], offered);
    // The ACK came after the lease was recorded.
    assert!(
        matches!(&daemon.events()[..], [Event::Leased { mac: m, ip, .. }] if *m == mac(3) && ip.octets() == offered)
    );
    assert_eq!((count(&counters, "discover", "offer"), count(&counters, "request", "ack")), (1, 1));
    // Garbage is counted, and changes nothing.
    relay.send(b"not dhcp", server).await;
    relay.send(&vec![1; 1501], server).await;
    relay.send(&ipxe(7, mac(3)).ciaddr(offered.into()).bytes(), server).await;
    relay.send(&ipxe(1, mac(3)).relay("10.255.255.2").bytes(), server).await;
    relay.receive().await;
    assert_eq!((count(&counters, "datagram", "too-short"), count(&counters, "datagram", "too-long")), (1, 1));
}

#[tokio::test]
async fn a_direct_client_is_answered_on_the_port_above() {
    let mut world = rack();
    let mut here = subnet();
    here.net = "127.0.0.0/8".parse().unwrap();
    (here.first, here.last) = (ip("127.1.0.1"), ip("127.1.0.9"));
    let mut local = policy(vec![here]);
    local.site.address = ip("127.0.0.1");
    world.policy = Arc::new(local);
    let (_daemon, server, _, _tasks) = serve(world).await;
    let client = Client::at(&format!("127.0.0.3:{}", server.port() + 1)).await;
    client.send(&bmc(1, mac(2)).bytes(), server).await;
    let (offer, _) = client.receive().await;
    assert_eq!(offer[16..18], [127, 1]);
}

#[tokio::test]
async fn two_clients_at_once_and_one_address() {
    let (daemon, server, counters, _tasks) = serve(rack()).await;
    let (one, two) = (Client::at("127.0.0.1:0").await, Client::at("127.0.0.2:0").await);
    let wish = [10, 255, 255, 107];
    let ask = |mac| ipxe(3, mac).relay("10.255.255.2").with(54, SERVER).with(50, wish).bytes();
    one.send(&ask(mac(21)), server).await;
    two.send(&ask(mac(22)), server).await;
    let ((first, _), (second, _)) = tokio::join!(one.receive(), two.receive());
    let mut got = [options(&first)[0].1[0], options(&second)[0].1[0]];
    got.sort_unstable();
    assert_eq!(got, [5, 6], "one is acknowledged, the other refused");
    assert_eq!(daemon.ctx.world().leases.len(), 1);
    assert_eq!(count(&counters, "request", "nak"), 1);
}

#[tokio::test]
async fn another_server_is_reported_once() {
    let (daemon, server, counters, _tasks) = serve(rack()).await;
    let relay = Client::at("127.0.0.1:0").await;
    let other = Raw::new(3, mac(3)).relay("10.255.255.2").with(54, [192, 0, 2, 1]).with(50, [192, 0, 2, 50]);
    for _ in 0..3 {
        relay.send(&other.bytes(), server).await;
    }
    relay
        .send(&ipxe(3, mac(3)).relay("10.255.255.2").with(54, SERVER).with(50, [10, 255, 255, 100]).bytes(), server)
        .await;
    relay.receive().await;
    assert_eq!(count(&counters, "request", "other-server"), 3);
    let foreign = daemon.events().into_iter().filter(|event| matches!(event, Event::ForeignDhcp { .. }));
    assert_eq!(foreign.collect::<Vec<_>>(), [Event::ForeignDhcp { server: ip("192.0.2.1") }]);
}

#[tokio::test]
async fn what_cannot_be_served_is_said_at_the_start() {
    let mut wanted = settings(ip("127.0.0.1"), None);
    wanted.network.dhcp_mode = DhcpMode::Proxy;
    let daemon = Loop::start(rack(), wanted.clone());
    assert!(matches!(dhcp::bind(&daemon.ctx).await, Err(ServeError::ProxyUnsupported)));
    wanted.network.dhcp_mode = DhcpMode::Full;
    let taken = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    wanted.network.dhcp_port = taken.local_addr().unwrap().port();
    let daemon = Loop::start(rack(), wanted);
    let error = dhcp::bind(&daemon.ctx).await.err().unwrap();
    assert!(error.to_string().contains("cannot serve DHCP on 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn no_ack_before_it_is_durable_and_nobody_else_waits() {
    let (ctx, mut signals, _world) = stuck(rack(), settings(ip("127.0.0.1"), None));
    let server = dhcp::bind(&ctx).await.unwrap();
    let address = server.local_addr();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.run(ctx));
    let (one, two) = (Client::at("127.0.0.1:0").await, Client::at("127.0.0.2:0").await);
    let wish = [10, 255, 255, 107];
    one.send(&ipxe(3, mac(3)).relay("10.255.255.2").with(54, SERVER).with(50, wish).bytes(), address).await;
    let signal = signals.recv().await.unwrap();
    two.send(&ipxe(1, mac(5)).relay("10.255.255.2").bytes(), address).await;
    assert_eq!(options(&two.receive().await.0)[0], (53, vec![2]), "another client is served meanwhile");
    let early = one.0.try_recv(&mut [0; 1500]).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "nothing is promised yet");
    signal.ack.unwrap().send(Verdict::Ok).unwrap();
    assert_eq!(options(&one.receive().await.0)[0], (53, vec![5]));
    drop(signals);
    tokio::time::timeout(Duration::from_secs(10), tasks.join_next()).await.expect("ends with the inbox");
}
