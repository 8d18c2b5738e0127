//! What the TFTP engine must do that servers in the field do not: one test for each promise, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::*;
use rackwright::serve::tftp::wire::{self, Packet};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fuzz::corpus::corpus;
use crate::net::tftp::{Site, big, count, read, rest, rrq, site, site_at};
use crate::rig::net::*;

/// As EDK2's PXE asks, with a time between tries so long that nothing below comes from the server's own patience.
const WINDOW: &[(&str, &str)] = &[("blksize", "512"), ("windowsize", "4"), ("timeout", "10")];

/// Fails when nothing comes well before the time between tries is over.
async fn soon(client: &Client) -> (Vec<u8>, SocketAddr) {
    timeout(Duration::from_secs(5), client.receive()).await.expect("no answer at once")
}

async fn asks(client: &Client, site: &Site, name: &str, options: &[(&str, &str)]) -> SocketAddr {
    client.send(&rrq(name, options), site.server).await;
    let (packet, from) = soon(client).await;
    assert!(matches!(Packet::parse(&packet), Ok(Packet::Oack(_))), "{packet:?}");
    from
}

async fn blocks(client: &Client, wanted: &[u16]) {
    for wanted in wanted {
        let (packet, _) = soon(client).await;
        let Ok(Packet::Data { block, octets }) = Packet::parse(&packet) else { panic!("{packet:?}") };
        let from = (usize::from(block) - 1) * 512;
        assert_eq!((block, octets), (*wanted, &big()[from..from + octets.len()]));
    }
}

/// Waits until the counter has reached this.
async fn counted(site: &Site, kind: &str, outcome: &'static str, wanted: u64) {
    let reached = async {
        while count(site, kind, outcome) < wanted {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), reached).await.unwrap_or_else(|_| panic!("{kind} {outcome} stays below {wanted}"));
}

#[tokio::test]
async fn a_client_that_aborts_frees_its_port_at_once() {
    let site = site(world(Vec::new())).await;
    let client = Client::at("127.0.0.1:0").await;
    for round in 1..=3 {
        let asked = [&[("tsize", "0")], WINDOW].concat();
        let first = asks(&client, &site, "undionly.kpxe", &asked).await;
        client.send(&wire::error(0, "User aborted the transfer"), first).await;
        // At once: the ERROR may not even have been read.
        let second = asks(&client, &site, "undionly.kpxe", WINDOW).await;
        assert_ne!(first, second, "a transfer has a port of its own");
        client.send(&wire::ack(0), second).await;
        blocks(&client, &[1, 2, 3, 4]).await;
        client.send(&wire::error(0, "enough"), second).await;
        counted(&site, "transfer", "aborted", round).await;
    }
    // Whatever was read first, each of the six has ended.
    let ended = async {
        while count(&site, "transfer", "aborted") + count(&site, "transfer", "replaced") < 6 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), ended).await.unwrap();
}

#[tokio::test]
async fn a_new_request_from_the_same_port_replaces_the_old_transfer() {
    let site = site(world(Vec::new())).await;
    let client = Client::at("127.0.0.1:0").await;
    let first = asks(&client, &site, "undionly.kpxe", WINDOW).await;
    client.send(&wire::ack(0), first).await;
    blocks(&client, &[1, 2, 3, 4]).await;
    // The machine was reset in the middle, and its ROM uses the same port and the same words.
    let second = asks(&client, &site, "undionly.kpxe", WINDOW).await;
    assert_ne!(first, second);
    counted(&site, "transfer", "replaced", 1).await;
    client.send(&wire::ack(4), first).await;
    client.send(&wire::ack(0), second).await;
    blocks(&client, &[1, 2, 3, 4]).await;
}

#[tokio::test]
async fn a_request_sent_again_is_the_same_transfer() {
    let site = site(world(Vec::new())).await;
    let client = Client::at("127.0.0.1:0").await;
    let first = asks(&client, &site, "undionly.kpxe", WINDOW).await;
    // The OACK was lost. Until the client was heard, the same words mean the same transfer. (Sent until it is answered:
    // one that comes too soon is taken for an echo.)
    let again = async {
        loop {
            client.send(&rrq("undionly.kpxe", WINDOW), site.server).await;
            if let Ok(heard) = timeout(Duration::from_millis(20), client.receive()).await {
                break heard;
            }
        }
    };
    let (packet, from) = timeout(Duration::from_secs(5), again).await.expect("no second OACK");
    assert!(matches!(Packet::parse(&packet), Ok(Packet::Oack(_))), "{packet:?}");
    assert_eq!(from, first);
    assert_eq!((count(&site, "transfer", "replaced"), count(&site, "read", "static")), (0, 1));
}

#[tokio::test]
async fn the_first_block_of_a_window_lost() {
    let site = site(world(Vec::new())).await;
    let client = Client::at("127.0.0.1:0").await;
    let from = asks(&client, &site, "undionly.kpxe", WINDOW).await;
    client.send(&wire::ack(0), from).await;
    blocks(&client, &[1, 2, 3, 4]).await;
    // Taken for lost: block 1, then block 1 again, then block 3.
    for _ in 0..2 {
        client.send(&wire::ack(0), from).await;
        blocks(&client, &[1, 2, 3, 4]).await;
    }
    client.send(&wire::ack(2), from).await;
    blocks(&client, &[3, 4, 5, 6]).await;
}

#[tokio::test]
async fn a_slow_reader_delays_nobody() {
    let site = site(world(Vec::new())).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let client = Client::at("127.0.0.1:0").await;
        let from = asks(&client, &site, "undionly.kpxe", WINDOW).await;
        client.send(&wire::ack(0), from).await;
        slow.push(client);
    }
    let fast = Client::at("127.0.0.1:0").await;
    let whole = timeout(Duration::from_secs(5), read(&fast, site.server, "undionly.kpxe", WINDOW)).await;
    assert_eq!(whole.expect("delayed").unwrap().0, big());
}

#[tokio::test]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let site = site_at(world(Vec::new()), ip("0.0.0.0")).await;
    for address in ["127.0.0.1", "127.0.0.77", "127.3.2.1"] {
        let asked = SocketAddr::new(ip(address).into(), site.server.port());
        let client = Client::at("127.0.0.1:0").await;
        client.send(&rrq("undionly.kpxe", WINDOW), asked).await;
        assert_eq!(soon(&client).await.1.ip(), asked.ip());
        // Refusals too.
        client.send(&rrq("nothing", &[]), asked).await;
        let (packet, from) = soon(&client).await;
        assert_eq!((packet[..4].to_vec(), from.ip()), (vec![0, 5, 0, 1], asked.ip()));
    }
}

#[tokio::test]
async fn more_blocks_than_two_octets_can_count() {
    let site = site(world(Vec::new())).await;
    let long: Vec<u8> = (0..600_000_u32).map(|n| (n % 241) as u8).collect();
    std::fs::write(site.dir.path().join("tftp/long"), &long).unwrap();
    for options in [&[("blksize", "8"), ("windowsize", "64")][..], &[("blksize", "8")]] {
        let client = Client::at("127.0.0.1:0").await;
        let (body, _) = read(&client, site.server, "long", options).await.unwrap();
        assert!(body == long, "{options:?}: {} octets", body.len());
    }
}

/// All at once: nobody goes on before everybody has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_transfers_at_once() {
    const CLIENTS: usize = 500;
    let site = site(world(Vec::new())).await;
    let (server, together) = (site.server, Arc::new(Barrier::new(CLIENTS)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let together = together.clone();
        clients.spawn(async move {
            let client = Client::at("127.0.0.1:0").await;
            let options = [("blksize", "1468"), ("windowsize", "4")];
            client.send(&rrq("undionly.kpxe", &options), server).await;
            let first = client.receive().await;
            together.wait().await;
            rest(&client, first).await.unwrap().0 == big()
        });
    }
    assert!(clients.join_all().await.into_iter().all(|whole| whole));
    counted(&site, "transfer", "completed", CLIENTS as u64).await;
}

#[tokio::test]
async fn one_more_than_can_be_served_is_told() {
    let site = site_at(world(Vec::new()), ip("0.0.0.0")).await;
    // One client, but for each of our addresses it is another transfer.
    let client = Client::at("127.0.0.1:0").await;
    let mut busy = 0;
    for n in 0..1030_u16 {
        let [high, low] = n.to_be_bytes();
        let asked = SocketAddr::from(([127, 1, high, low], site.server.port()));
        client.send(&rrq("undionly.kpxe", WINDOW), asked).await;
        let (packet, _) = soon(&client).await;
        match Packet::parse(&packet) {
            Ok(Packet::Oack(_)) => assert_eq!(busy, 0),
            Ok(Packet::Error { code: 0, message }) if message.contains("try again") => busy += 1,
            other => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!((busy, count(&site, "read", "busy")), (6, 6));
}

#[tokio::test]
async fn garbage_is_counted_and_not_answered() {
    let site = site(world(Vec::new())).await;
    let (client, mut silent) = (Client::at("127.0.0.1:0").await, 0);
    for (name, octets) in corpus("tftp") {
        if matches!(Packet::parse(&octets), Ok(Packet::Read(_) | Packet::Write(_))) {
            let other = Client::at("127.0.0.1:0").await;
            other.send(&octets, site.server).await;
            let (packet, _) = timeout(Duration::from_secs(5), other.receive()).await.expect(&name);
            assert!(matches!(packet[1], 3 | 5 | 6), "{name}: {packet:?}");
        } else {
            client.send(&octets, site.server).await;
            silent += 1;
        }
    }
    client.send(&[&rrq("a", &[])[..], &[0; 2000]].concat(), site.server).await;
    counted(&site, "other", "stray", 1).await;
    // Heard after all of them, and the first thing that is answered.
    client.send(&rrq("grub/x86/core.img", &[]), site.server).await;
    assert_eq!(soon(&client).await.0, b"\0\x03\0\x01core");
    assert_eq!(count(&site, "other", "stray") + count(&site, "other", "malformed"), silent + 1);
    for mode in ["netascii", "NETASCII", "mail", "binary"] {
        let client = Client::at("127.0.0.1:0").await;
        client.send(&wire::read_request("grub/x86/core.img", mode, &[]), site.server).await;
        assert_eq!(soon(&client).await.0[..4], [0, 5, 0, 4], "{mode}");
    }
}

#[tokio::test]
async fn asking_for_the_size_of_an_answer_file_claims_nothing() {
    let mut world = world(vec![(host(1), armed(1))]);
    lease_to(&mut world, mac(3), ip("127.0.0.3"), NOW + Duration::from_secs(3600));
    let site = site(world).await;
    let name = "host/mac-525400000003.preseed";
    let client = Client::at("127.0.0.3:0").await;
    for _ in 0..3 {
        let from = asks(&client, &site, name, &[("tsize", "0")]).await;
        client.send(&wire::error(0, "User aborted the transfer"), from).await;
    }
    assert_eq!(read(&client, site.server, "nothing", &[]).await, Err(1), "the server has read all of that");
    assert_eq!(site.daemon.events(), []);
    // The read that follows is one claim.
    let (body, _) = read(&client, site.server, name, &[("blksize", "1468")]).await.unwrap();
    assert!(body.starts_with(b"INSTALLER uri=http://x/checkin/host/"));
    assert!(matches!(site.daemon.events()[..], [Event::Claimed { .. }]));
}

#[tokio::test]
async fn the_trace_shows_how_far_a_machine_came() {
    let mut world = world(vec![(host(1), armed(1))]);
    lease_to(&mut world, mac(3), ip("127.0.0.3"), NOW + Duration::from_secs(3600));
    let site = site(world).await;
    let client = Client::at("127.0.0.3:0").await;
    let from = asks(&client, &site, "undionly.kpxe", &[("tsize", "0"), ("blksize", "1468")]).await;
    client.send(&wire::error(8, "only the size\x1b"), from).await;
    counted(&site, "transfer", "aborted", 1).await;
    assert_eq!(read(&client, site.server, "pxelinux.cfg/default", &[]).await, Err(1));
    counted(&site, "read", "not-found", 1).await;
    read(&client, site.server, "undionly.kpxe", WINDOW).await.unwrap();
    counted(&site, "transfer", "completed", 1).await;
    // A transfer's end takes the place of its beginning.
    let steps = site.daemon.ctx.trace.of(mac(3));
    let steps: Vec<_> = steps.iter().map(|step| (step.exchange.asked(), step.exchange.outcome())).collect();
    let steps: Vec<_> = steps.iter().map(|(asked, outcome)| (asked.as_str(), outcome.as_str())).collect();
    let (size, whole) = ("undionly.kpxe tsize=0 blksize=1468", "undionly.kpxe blksize=512 windowsize=4 timeout=10");
    assert_eq!(
        steps,
        [
            (size, "aborted by the client: only the size? (code 8)"),
            ("pxelinux.cfg/default", "refused: no such file"),
            (whole, "sent 300000 octets"),
        ]
    );
}
