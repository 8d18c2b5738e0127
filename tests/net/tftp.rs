//! TFTP over loopback: names, options, the root's walls, claims.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rackwright::model::*;
use rackwright::serve::counters::Counters;
use rackwright::serve::tftp::{self, ServeError};
use tempfile::TempDir;

use crate::rig::net::*;

/// A served root with a big file, a folder, and links in and out.
pub struct Site {
    pub daemon: Loop,
    pub server: SocketAddr,
    counters: Counters,
    pub dir: TempDir,
    _tasks: tokio::task::JoinSet<()>,
}

pub fn big() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

pub async fn site(world: World) -> Site {
    site_at(world, ip("127.0.0.1")).await
}

pub async fn site_at(world: World, listen: Ipv4Addr) -> Site {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("tftp");
    std::fs::create_dir_all(root.join("grub/x86")).unwrap();
    std::fs::write(dir.path().join("secret"), "SECRET").unwrap();
    std::fs::create_dir(dir.path().join("tftp-other")).unwrap();
    std::fs::write(dir.path().join("tftp-other/secret"), "SECRET").unwrap();
    std::fs::write(root.join("undionly.kpxe"), big()).unwrap();
    std::fs::write(root.join("boot.ipxe"), "static INSTALLER").unwrap();
    std::fs::write(root.join("grub/x86/core.img"), "core").unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    std::os::unix::fs::symlink("grub/x86/core.img", root.join("inside")).unwrap();
    std::os::unix::fs::symlink("../secret", root.join("outside")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret"), root.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../tftp-other", root.join("sibling")).unwrap();
    std::fs::write(dir.path().join("id"), "PRIVATE").unwrap();
    std::fs::write(dir.path().join("id.pub"), "ssh-ed25519 AAAA deploy@example.net\n").unwrap();
    let mut settings = settings(listen, Some(root));
    settings.deploy.ssh_key = Some(dir.path().join("id"));
    let daemon = Loop::start(world, settings);
    let server = tftp::bind(&daemon.ctx).await.unwrap();
    let (address, counters) = (server.local_addr(), server.counters());
    let mut tasks = tokio::task::JoinSet::new();
    let ctx = daemon.ctx.clone();
    tasks.spawn(server.run(ctx));
    Site { daemon, server: address, counters, dir, _tasks: tasks }
}

pub fn count(site: &Site, kind: &str, outcome: &'static str) -> u64 {
    site.counters.get(kind, outcome).unwrap()
}

pub fn rrq(name: &str, options: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![0, 1];
    for part in [name, "octet"].into_iter().chain(options.iter().flat_map(|(key, value)| [*key, *value])) {
        out.extend(part.as_bytes());
        out.push(0);
    }
    out
}

/// What a whole read gives: the octets and the accepted options, or the error code.
pub async fn read(
    client: &Client,
    server: SocketAddr,
    name: &str,
    options: &[(&str, &str)],
) -> Result<(Vec<u8>, String), u16> {
    client.send(&rrq(name, options), server).await;
    let first = client.receive().await;
    rest(client, first).await
}

/// The whole read from the first answer on. What comes from another port is not of this transfer.
pub async fn rest(client: &Client, first: (Vec<u8>, SocketAddr)) -> Result<(Vec<u8>, String), u16> {
    let ((mut packet, server), mut from) = (first.clone(), first.1);
    let (mut body, mut accepted, mut block, mut expected) = (Vec::new(), String::new(), 512, 1_u16);
    let mut window = 1;
    loop {
        while from != server {
            (packet, from) = client.receive().await;
        }
        let word = u16::from_be_bytes([packet[2], packet[3]]);
        match packet[1] {
            5 => return Err(word),
            6 => {
                accepted = String::from_utf8(packet[2..].to_vec()).unwrap();
                let words: Vec<&str> = accepted.split('\0').collect();
                let value =
                    |key| words.iter().position(|w| *w == key).map(|at| words[at + 1].parse::<usize>().unwrap());
                block = value("blksize").unwrap_or(512);
                window = value("windowsize").unwrap_or(1);
                client.send(&[0, 4, 0, 0], from).await;
            }
            3 if word == expected => {
                body.extend(&packet[4..]);
                let last = packet.len() - 4 < block;
                if last || usize::from(expected) % window == 0 {
                    client.send(&[&[0, 4][..], &word.to_be_bytes()].concat(), from).await;
                }
                expected = expected.wrapping_add(1);
                if last {
                    return Ok((body, accepted));
                }
            }
            _ => {}
        }
        (packet, from) = client.receive().await;
    }
}

async fn get(site: &Site, name: &str) -> Result<String, u16> {
    let client = Client::at("127.0.0.1:0").await;
    read(&client, site.server, name, &[]).await.map(|(body, _)| String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn static_files_whole_with_every_option() {
    let site = site(world(Vec::new())).await;
    let client = Client::at("127.0.0.1:0").await;
    assert_eq!(read(&client, site.server, "/undionly.kpxe", &[]).await.unwrap().0, big());
    // As EDK2 asks; as a client asks that wants too much.
    for (options, accepted) in [
        (
            &[("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")][..],
            ["tsize\x00300000", "blksize\x001468", "windowsize\x004"],
        ),
        (
            &[("tsize", "0"), ("blksize", "65464"), ("windowsize", "65535")][..],
            ["tsize\x00300000", "blksize\x001468", "windowsize\x0064"],
        ),
    ] {
        let client = Client::at("127.0.0.1:0").await;
        let (body, oack) = read(&client, site.server, "undionly.kpxe", options).await.unwrap();
        assert_eq!(body, big());
        assert!(accepted.iter().all(|part| oack.contains(part)), "{oack:?}");
    }
    assert_eq!(get(&site, "//grub/./x86/core.img").await.unwrap(), "core");
    assert_eq!(get(&site, "inside").await.unwrap(), "core");
    assert_eq!(get(&site, "empty").await.unwrap(), "");
    assert_eq!(get(&site, "keys.txt").await.unwrap(), "ssh-ed25519 AAAA deploy@example.net\n");
}

#[tokio::test]
async fn no_path_leaves_the_root() {
    let site = site(world(Vec::new())).await;
    for name in ["../secret", "grub/../../secret", "/../secret", "..", "grub/..", "", "/", ".", "nothing", "grub"] {
        assert_eq!(get(&site, name).await, Err(1), "{name:?}");
    }
    for name in ["outside", "absolute", "sibling/secret"] {
        assert_eq!(get(&site, name).await, Err(2), "{name:?}");
    }
    assert_eq!(get(&site, &"a/".repeat(400)).await, Err(1));
    // Writing is refused.
    let client = Client::at("127.0.0.1:0").await;
    let mut wrq = rrq("undionly.kpxe", &[]);
    wrq[1] = 2;
    client.send(&wrq, site.server).await;
    assert_eq!(client.receive().await.0[..4], [0, 5, 0, 2]);
    assert_eq!(count(&site, "write", "refused"), 1);
}

#[tokio::test]
async fn boot_scripts_follow_the_decision() {
    let mut world = world(vec![(host(1), armed(1)), (host(2), installed(1))]);
    let later = NOW + Duration::from_secs(3600);
    lease_to(&mut world, mac(3), ip("127.0.0.3"), later);
    lease_to(&mut world, mac(5), ip("127.0.0.5"), later);
    let site = site(world).await;
    let at = async |address: &str, name: &str| {
        let client = Client::at(address).await;
        read(&client, site.server, name, &[("tsize", "0")]).await.map(|(body, _)| String::from_utf8(body).unwrap())
    };
    assert_eq!(at("127.0.0.3:0", "boot.ipxe").await.unwrap(), "#!ipxe\n# INSTALLER\n");
    assert_eq!(at("127.0.0.5:0", "boot.ipxe").await.unwrap(), LocalBoot::Auto.script());
    // A client without a lease is sent to ask by its MAC; the static `boot.ipxe` would install anything.
    let stranger = at("127.0.0.9:0", "boot.ipxe").await.unwrap();
    assert_eq!(stranger, "#!ipxe\nchain http://10.255.255.1:9999/boot/${mac}/boot.ipxe || exit 1\n");
    assert_eq!(at("127.0.0.3:0", "/host/mac-525400000003.ipxe").await.unwrap(), "#!ipxe\n# INSTALLER arguments\n");
    assert_eq!(at("127.0.0.9:0", "host/mac-525400000003.ipxe").await, Err(2));
    assert_eq!(at("127.0.0.5:0", "host/mac-525400000005.preseed").await, Err(1));
    assert_eq!(at("127.0.0.9:0", "host/mac-525400000009.preseed").await, Err(1));
    assert_eq!(at("127.0.0.3:0", "host/mac-5254000000").await, Err(1));
    assert!(site.daemon.events().is_empty(), "reading is free of side effects");
}

#[tokio::test]
async fn reading_the_answer_file_is_the_claim() {
    let mut world = world(vec![(host(1), armed(1))]);
    lease_to(&mut world, mac(3), ip("127.0.0.3"), NOW + Duration::from_secs(3600));
    let site = site(world).await;
    let name = "/host/mac-525400000003.preseed";
    let client = Client::at("127.0.0.3:0").await;
    let (body, oack) = read(&client, site.server, name, &[("tsize", "0")]).await.unwrap();
    assert!(oack.contains(&format!("tsize\0{}", body.len())), "the size counts the token: {oack:?}");
    let body = String::from_utf8(body).unwrap();
    let text = body.trim_end().rsplit('/').next().unwrap();
    let token = Token::parse(text).expect("a token in the check-in's path");
    let peer = client.0.local_addr().unwrap();
    assert_eq!(site.daemon.events(), [Event::Claimed { mac: mac(3), token: token.id(), peer }]);
    // The same request again (its answer was lost): the same token, no second claim.
    let (again, _) = read(&client, site.server, name, &[]).await.unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), body);
    assert_eq!(site.daemon.events().len(), 1);
    // Another request is another claim.
    let other = Client::at("127.0.0.3:0").await;
    let (fresh, _) = read(&other, site.server, name, &[]).await.unwrap();
    assert_ne!(String::from_utf8(fresh).unwrap(), body);
    assert_eq!(site.daemon.events().len(), 2);
    // A refusal hands nothing out.
    *site.daemon.claims.lock().unwrap() = Verdict::Refused("installed meanwhile".into());
    let late = Client::at("127.0.0.3:0").await;
    assert_eq!(read(&late, site.server, name, &[("blksize", "1468")]).await, Err(2));
    assert_eq!(
        (count(&site, "claim", "granted"), count(&site, "claim", "repeated"), count(&site, "claim", "refused")),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn many_clients_at_once() {
    let site = site(world(Vec::new())).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let server = site.server;
        tasks.spawn(async move {
            let client = Client::at("127.0.0.1:0").await;
            let options = [("blksize", "1468"), ("windowsize", "8")];
            let (body, _) = read(&client, server, "undionly.kpxe", &options).await.unwrap();
            (client.0.local_addr().unwrap(), body == big())
        });
    }
    let ended = tasks.join_all().await;
    assert!(ended.iter().all(|(_, whole)| *whole));
    assert_eq!(ended.into_iter().map(|(address, _)| address).collect::<BTreeSet<_>>().len(), 20);
}

#[tokio::test]
async fn a_root_that_is_not_there_is_said_at_the_start() {
    let daemon = Loop::start(world(Vec::new()), settings(ip("127.0.0.1"), Some("/nonexistent/tftp".into())));
    assert!(matches!(tftp::bind(&daemon.ctx).await, Err(ServeError::Root { .. })));
}

#[tokio::test]
async fn a_claim_that_waits_holds_nobody_up() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("file"), "static").unwrap();
    let mut world = world(vec![(host(1), armed(1))]);
    lease_to(&mut world, mac(3), ip("127.0.0.3"), NOW + Duration::from_secs(3600));
    let (ctx, mut signals, _world) = stuck(world, settings(ip("127.0.0.1"), Some(dir.path().into())));
    let server = tftp::bind(&ctx).await.unwrap();
    let address = server.local_addr();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.run(ctx));
    let (claimer, other) = (Client::at("127.0.0.3:0").await, Client::at("127.0.0.4:0").await);
    claimer.send(&rrq("host/mac-525400000003.preseed", &[]), address).await;
    let signal = signals.recv().await.unwrap();
    // Asking again while the first request is under way is not a second claim.
    claimer.send(&rrq("host/mac-525400000003.preseed", &[]), address).await;
    assert_eq!(read(&other, address, "file", &[]).await.unwrap().0, b"static");
    signal.ack.unwrap().send(Verdict::Ok).unwrap();
    let (packet, _) = claimer.receive().await;
    assert_eq!(packet[..4], [0, 3, 0, 1], "the answer file");
    assert!(signals.try_recv().is_err());
    drop(signals);
    tokio::time::timeout(Duration::from_secs(10), tasks.join_next()).await.expect("ends with the inbox");
}
