//! Boot files and static files over HTTP.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::response::Response;
use rackwright::model::desired::TOKEN_MARK;
use rackwright::model::{Event, Mac, Policy, World};
use rackwright::plan::boot::FileAnswer;
use rackwright::serve::http::boot::respond;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::http::{Rig, settings};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 11)), 40000);

async fn body(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

fn claim_of(body: &str) -> FileAnswer {
    FileAnswer::Claim { mac: Mac([2, 0, 0, 0, 0, 1]), body: Arc::from(body) }
}

#[tokio::test]
async fn every_answer_about_a_boot_file_has_its_code() {
    let rig = Rig::start().await;
    let response = respond(&rig.ctx, FileAnswer::Body(Arc::from("#!ipxe\n")), PEER, false).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(body(response).await, "#!ipxe\n");
    let response = respond(&rig.ctx, FileAnswer::Refused("not yours".into()), PEER, false).await;
    assert_eq!(response.status(), 403);
    assert_eq!(body(response).await, "not yours\n");
    assert_eq!(respond(&rig.ctx, FileAnswer::NotFound, PEER, false).await.status(), 404);
    assert_eq!(rig.events(), []);
}

#[tokio::test]
async fn reading_an_answer_file_claims_and_carries_the_token_of_that_claim() {
    let rig = Rig::start().await;
    let template = format!("a={TOKEN_MARK}\nb={TOKEN_MARK}\n");
    let first = body(respond(&rig.ctx, claim_of(&template), PEER, false).await).await;
    let token = first.strip_prefix("a=").and_then(|rest| rest.get(..32)).expect("a token");
    assert_eq!(first, format!("a={token}\nb={token}\n"));
    let [Event::Claimed { mac, token: name, peer }] = &rig.events()[..] else { panic!("{:?}", rig.events()) };
    assert_eq!((*mac, *peer), (Mac([2, 0, 0, 0, 0, 1]), PEER));
    assert_eq!(*name, rackwright::model::Token::parse(token).unwrap().id());
    let second = body(respond(&rig.ctx, claim_of(&template), PEER, false).await).await;
    assert_ne!(first, second, "each claim mints a fresh token");

    rig.refuse("somebody else claimed");
    let response = respond(&rig.ctx, claim_of(&template), PEER, false).await;
    assert_eq!(response.status(), 403);
    assert!(!body(response).await.contains("a="));
}

#[tokio::test]
async fn a_head_request_never_claims_but_knows_the_length() {
    let rig = Rig::start().await;
    let template = format!("a={TOKEN_MARK}\nb={TOKEN_MARK}\n");
    let response = respond(&rig.ctx, claim_of(&template), PEER, true).await;
    assert_eq!(rig.events(), []);
    let told: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(body(response).await, "");
    let sent = body(respond(&rig.ctx, claim_of(&template), PEER, false).await).await;
    assert_eq!(told, sent.len());
}

#[tokio::test]
async fn a_loop_that_is_gone_means_try_again() {
    let rig = Rig::start().await;
    let (inbox, receiver) = rackwright::serve::Inbox::new();
    drop(receiver);
    let ctx = rackwright::serve::Context { inbox, ..rig.ctx.clone() };
    let response = respond(&ctx, claim_of(TOKEN_MARK), PEER, false).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_path_without_a_mac_is_a_bad_request_and_an_unknown_machine_gets_no_answer_file() {
    let rig = Rig::start().await;
    assert_eq!(rig.get("/boot/not-a-mac/boot.ipxe").await.code, 400);
    assert_eq!(rig.get("/boot/52-54-00-AA-BB-11/mac-525400aabb11.preseed").await.code, 404);
    assert_eq!(rig.get("/boot/52:54:00:aa:bb:11/a/b").await.code, 404);
    assert_eq!(rig.events(), []);
}

/// A root with a file, a directory, links in and out, and a file beside it.
async fn assets() -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("sub dir")).unwrap();
    std::fs::write(dir.path().join("secret"), "outside").unwrap();
    std::fs::create_dir(dir.path().join("root-too")).unwrap();
    std::fs::write(dir.path().join("root-too/file"), "outside").unwrap();
    std::fs::write(root.join("vmlinuz"), b"0123456789").unwrap();
    std::fs::write(root.join("sub dir/initrd.img"), b"initrd").unwrap();
    std::fs::create_dir(root.join("host")).unwrap();
    std::fs::write(root.join("host/mac-525400aabb11.preseed"), "outside").unwrap();
    std::fs::write(root.join("boot.ipxe"), "outside").unwrap();
    symlink("boot.ipxe", root.join("alias.ipxe")).unwrap();
    symlink("vmlinuz", root.join("kernel")).unwrap();
    symlink("../secret", root.join("leak")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    symlink("../root-too", root.join("neighbour")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let mut settings = settings();
    settings.network.tftp_root = Some(root);
    (Rig::with(settings, World::new(Arc::new(Policy::default()))).await, dir)
}

#[tokio::test]
async fn assets_are_served_whole_in_part_and_by_validator() {
    let (rig, _dir) = assets().await;
    let whole = rig.get("/assets/vmlinuz").await;
    assert_eq!((whole.code, whole.text().as_str()), (200, "0123456789"));
    assert_eq!(rig.get("/assets/kernel").await.text(), "0123456789", "a link that stays inside");
    assert_eq!(rig.get("/assets/sub%20dir/initrd.img").await.text(), "initrd");
    let head = rig.ask("HEAD", "/assets/vmlinuz", &[], b"").await;
    assert_eq!((head.code, head.header("content-length"), head.body.len()), (200, Some("10"), 0));
    for (range, part, told) in
        [("bytes=2-4", "234", "bytes 2-4/10"), ("bytes=7-", "789", "bytes 7-9/10"), ("bytes=-2", "89", "bytes 8-9/10")]
    {
        let reply = rig.ask("GET", "/assets/vmlinuz", &[("Range", range)], b"").await;
        assert_eq!((reply.code, reply.text().as_str(), reply.header("content-range")), (206, part, Some(told)));
    }
    assert_eq!(rig.ask("GET", "/assets/vmlinuz", &[("Range", "bytes=10-")], b"").await.code, 416);
    let tag = whole.header("etag").expect("an ETag");
    let reply = rig.ask("GET", "/assets/vmlinuz", &[("If-None-Match", tag)], b"").await;
    assert_eq!((reply.code, reply.body.len()), (304, 0));
    let modified = whole.header("last-modified").expect("a date");
    assert_eq!(rig.ask("GET", "/assets/vmlinuz", &[("If-Modified-Since", modified)], b"").await.code, 304);
}

#[tokio::test]
async fn nothing_outside_the_root_and_no_installer_script_in_it_is_served() {
    let (rig, _dir) = assets().await;
    for path in [
        "leak",
        "boot.ipxe",
        "alias.ipxe",
        "host/mac-525400aabb11.preseed",
        "slash/etc/passwd",
        "neighbour/file",
        "loop",
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "sub%20dir/../../secret",
        "sub%20dir/%2e%2e/vmlinuz",
        "..%5csecret",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "vmlinuz%00",
        "vmlinuz/",
        "vmlinuz/x",
        "",
        ".",
        "sub%20dir",
        "sub%20dir/",
        "missing",
        "%ff",
    ] {
        let reply = rig.get(&format!("/assets/{path}")).await;
        assert!(matches!(reply.code, 400 | 404), "{path}: {reply:?}");
        assert!(!reply.text().contains("outside"), "{path}");
    }
    assert_eq!(Rig::start().await.get("/assets/vmlinuz").await.code, 404, "no root, no files");
}

#[tokio::test]
async fn an_asset_larger_than_a_chunk_arrives_whole() {
    let (rig, dir) = assets().await;
    let big: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(dir.path().join("root/big"), &big).unwrap();
    assert!(rig.get("/assets/big").await.body == big);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_its_request_is_let_go() {
    let rig = Rig::start().await;
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: rack").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));

    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = b"POST /checkin/host HTTP/1.1\r\nHost: rack\r\nContent-Length: 50\r\n\r\n{\"action\"";
    stream.write_all(head).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    assert_eq!(rig.events(), []);
}
