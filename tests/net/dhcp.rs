//! The DHCP server over loopback sockets: durable leases, many at once, what is told to people.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::*;
use rackwright::serve::counters::Counters;
use rackwright::serve::dhcp;
use rackwright::settings::DhcpMode;

use crate::rig::net::*;
use crate::rig::net_dhcp::*;

async fn serve(world: World) -> (Loop, SocketAddr, Counters, tokio::task::JoinSet<()>) {
    let daemon = Loop::start(world, settings(ip("127.0.0.1"), None));
    let server = dhcp::bind(&daemon.ctx).await.unwrap();
    let (address, counters) = (server.local_addr(), server.counters());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.run(daemon.ctx.clone()));
    (daemon, address, counters, tasks)
}

fn count(counters: &Counters, kind: &str, outcome: &'static str) -> u64 {
    counters.get(kind, outcome).unwrap()
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
    wanted.network.dhcp_mode = DhcpMode::Off;
    let daemon = Loop::start(rack(), wanted.clone());
    assert!(matches!(dhcp::bind(&daemon.ctx).await, Err(dhcp::ServeError::Off)));
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

#[tokio::test]
async fn a_full_range_is_told_once_and_so_is_room() {
    let mut world = rack();
    for n in 0..10 {
        let address = std::net::Ipv4Addr::from(u32::from(subnet().first) + n as u32);
        lease_to(&mut world, mac(60 + n), address, NOW + Duration::from_secs(600));
    }
    let (daemon, server, counters, _tasks) = serve(world).await;
    let relay = Client::at("127.0.0.1:0").await;
    for n in 0..3 {
        relay.send(&bmc(1, mac(90 + n)).relay("10.255.255.2").bytes(), server).await;
    }
    // Who holds an address is still served, and is no sign of room.
    relay.send(&bmc(1, mac(60)).relay("10.255.255.2").bytes(), server).await;
    relay.receive().await;
    assert_eq!(count(&counters, "discover", "exhausted"), 3);
    let told = |daemon: &Loop| {
        daemon.events().into_iter().filter(|it| matches!(it, Event::RangeFull { .. })).collect::<Vec<_>>()
    };
    assert_eq!(told(&daemon), [Event::RangeFull { subnet: subnet().net, full: true }]);
}

#[tokio::test]
async fn a_restarted_server_tells_of_room_it_finds() {
    let mut world = rack();
    let since = NOW - Duration::from_secs(3600);
    world.full_ranges = Arc::new([(subnet().net, since)].into());
    let (daemon, server, _, _tasks) = serve(world).await;
    let relay = Client::at("127.0.0.1:0").await;
    relay.send(&bmc(1, mac(90)).relay("10.255.255.2").bytes(), server).await;
    relay.receive().await;
    // The loop takes the hint in its own time: a lease told afterwards comes behind it.
    relay
        .send(&bmc(3, mac(90)).relay("10.255.255.2").with(54, SERVER).with(50, [10, 255, 255, 103]).bytes(), server)
        .await;
    relay.receive().await;
    assert_eq!(daemon.events()[0], Event::RangeFull { subnet: subnet().net, full: false });
}

#[tokio::test]
async fn a_request_sent_again_is_answered_once() {
    let (ctx, mut signals, _world) = stuck(rack(), settings(ip("127.0.0.1"), None));
    let server = dhcp::bind(&ctx).await.unwrap();
    let (address, counters) = (server.local_addr(), server.counters());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.run(ctx));
    let client = Client::at("127.0.0.1:0").await;
    let request = ipxe(3, mac(3)).relay("10.255.255.2").with(54, SERVER).with(50, [10, 255, 255, 107]).bytes();
    for _ in 0..3 {
        client.send(&request, address).await;
    }
    client.send(&ipxe(1, mac(5)).relay("10.255.255.2").bytes(), address).await;
    assert_eq!(options(&client.receive().await.0)[0], (53, vec![2]));
    signals.recv().await.unwrap().ack.unwrap().send(Verdict::Ok).unwrap();
    assert_eq!(options(&client.receive().await.0)[0], (53, vec![5]));
    assert_eq!(count(&counters, "request", "repeated"), 2);
    assert!(signals.try_recv().is_err(), "one fact");
}
