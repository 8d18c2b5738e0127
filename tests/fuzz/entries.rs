//! What each fuzz target does with octets from anywhere. Included by the targets under `tests/fuzz/` and by the test
//! binary, which replays their corpus.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rackwright::model::{Secret, Time};
use rackwright::serve::files::{Found, Library};
use rackwright::serve::http::checkin::{Parsed, parse_checkin};
use rackwright::serve::http::push::{concerns, signed};
use rackwright::serve::http::select::{Facts, Selection, select};
use rackwright::serve::tftp::options::Terms;
use rackwright::serve::tftp::transfer::{Due, Transfer};
use rackwright::serve::tftp::wire::{self, Packet};

#[path = "entries/dhcp.rs"]
mod on_dhcp;

pub use on_dhcp::{dhcp, pxe};

/// Takes whatever comes.
pub type Entry = fn(&[u8]);

/// Every target by name. The test binary replays `tests/fuzz/corpus/<name>/` through each.
pub const ENTRIES: &[(&str, Entry)] = &[("dhcp", dhcp), ("http", http), ("pxe", pxe), ("tftp", tftp)];

/// A packet to the TFTP server. A read request goes on: its octets are then taken as what its client does next.
pub fn tftp(octets: &[u8]) {
    match Packet::parse(octets) {
        Ok(Packet::Read(request)) => {
            let length = octets.iter().fold(7_u64, |sum, octet| sum.wrapping_mul(31) + u64::from(*octet)) % 400_000;
            for mtu in [0, 576, 1500, 65_535] {
                let terms = Terms::new(&request, length, mtu);
                assert!((8..=1468).contains(&terms.block) && (1..=64).contains(&terms.window), "{terms:?}");
                assert!(terms.accepted.len() <= request.options.len());
                assert!(Packet::parse(&wire::oack(&terms.accepted)).is_ok());
                transfer(&terms, octets);
            }
        }
        Ok(Packet::Ack(block)) => assert_eq!(wire::ack(block), octets[..4]),
        Ok(Packet::Error { code, message }) => {
            assert!(message.len() <= 128 && message.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
            assert_eq!(Packet::parse(&wire::error(code, &message)), Ok(Packet::Error { code, message }));
        }
        Ok(_) | Err(wire::Malformed) => {}
    }
}

/// Two octets are one thing that happens to a transfer.
fn transfer(terms: &Terms, script: &[u8]) {
    let (mut transfer, mut now) = (Transfer::new(terms), Duration::ZERO);
    for step in script.chunks_exact(2) {
        let (kind, number) = (step[0] >> 5, u16::from_be_bytes([step[0] & 3, step[1]]));
        match kind {
            0 => now += Duration::from_millis(number.into()),
            1 => transfer.asked_again(now),
            2 => transfer.closed(),
            3 => transfer.aborted(number, String::new()),
            4 => transfer.tick(now),
            _ => transfer.acknowledged(number, now),
        }
        let Some(due) = transfer.due() else {
            assert!(transfer.ending().is_some() || transfer.deadline() <= now + Duration::from_secs(30));
            continue;
        };
        let count = match due {
            Due::Oack => 1,
            Due::Blocks { first, count } => {
                assert!(first >= 1 && count >= 1 && count <= terms.window, "{due:?}");
                assert!(first + u64::from(count) - 1 <= terms.last(), "past the end: {due:?}");
                count
            }
        };
        transfer.sent(count.min(1 + number), now);
    }
    // Left alone, it ends.
    for _ in 0..100 {
        if let Some(due) = transfer.due() {
            transfer.sent(if let Due::Blocks { count, .. } = due { count } else { 1 }, now);
        }
        now = now.max(transfer.deadline());
        transfer.tick(now);
    }
    assert!(transfer.ending().is_some(), "{transfer:?}");
}

/// What reaches the HTTP server; the first octet says what: the path of a static file, headers that choose of a file, a
/// check-in, a forge's push.
pub fn http(octets: &[u8]) {
    let Some((kind, rest)) = octets.split_first() else { return };
    match kind % 4 {
        0 => static_file(rest),
        1 => selection(rest),
        2 => checkin(rest),
        _ => push(rest),
    }
}

/// A static root with links that lead out of it, and what finds files in it.
struct Shelf {
    library: Library,
    _dir: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Shelf {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("root/host")).unwrap();
        std::fs::create_dir_all(at("root/a/b")).unwrap();
        for name in ["root/boot.ipxe", "root/host/x", "secret"] {
            std::fs::write(at(name), "OUTSIDE").unwrap();
        }
        for name in ["root/vmlinuz", "root/a/b/c"] {
            std::fs::write(at(name), "inside").unwrap();
        }
        for (to, name) in [("../secret", "l"), ("/", "r"), ("a", "d"), ("..", "u"), ("host", "h"), ("l2", "l2")] {
            std::os::unix::fs::symlink(to, at("root").join(name)).unwrap();
        }
        let text = "repository: { url: x }\nnetwork: { address: 127.0.0.1, ipxe: none, dhcp: { mode: off }, tftp: { root: root } }\n";
        let library = Library::new(&rackwright::settings::parse(text, dir.path()).unwrap());
        Shelf { library, _dir: dir }
    }
}

thread_local! {
    static SHELF: Shelf = Shelf::new();
}

/// No path finds what lies outside of the root, or what decides about a boot.
fn static_file(octets: &[u8]) {
    let path = String::from_utf8_lossy(octets);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    SHELF.with(|shelf| {
        runtime.block_on(async {
            if let Found::File(held) = shelf.library.find(&path).await {
                assert_eq!(held.piece(0).await.unwrap(), "inside", "{path:?}");
            }
        });
    });
}

/// Lines of `name: value`; a part that is chosen lies within the file.
fn selection(octets: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in octets.split(|octet| *octet == b'\n').take(64) {
        let mut halves = line.splitn(2, |octet| *octet == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii())) {
            headers.append(name, value);
        }
    }
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for length in [0, 1, 1000, u64::MAX] {
        let facts = Facts { length, etag: "\"1-2-3\"", modified, now: modified + Duration::from_secs(60) };
        if let Selection::Part { first, last } = select(&headers, facts) {
            assert!(first <= last && last < length, "{first}-{last} of {length}");
        }
    }
}

/// A check-in is understood or refused with a sentence of bounded length.
fn checkin(octets: &[u8]) {
    for token in [None, Some(""), Some("x"), Some("00112233445566778899aabbccddeeff")] {
        match parse_checkin(octets, token, IpAddr::from([192, 0, 2, 1])) {
            Ok(Parsed::Report(report)) => {
                assert!(report.hostname.is_none_or(|name| name.len() <= 253 && !name.chars().any(char::is_control)));
            }
            Ok(_) => {}
            Err(why) => assert!(why.len() < 1000, "{why}"),
        }
    }
}

/// Nothing is taken for signed that was not.
fn push(octets: &[u8]) {
    let (head, body) = octets.split_at(octets.len().min(64));
    let _ = concerns(body, "main");
    for name in ["x-hub-signature-256", "x-gitea-signature", "webhook-signature", "x-gitlab-token"] {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(head) {
            headers.insert(HeaderName::from_static(name), value);
        }
        let secret = Secret::new("a secret that no input holds: 9f6c1d0e8b7a");
        assert!(!signed(&headers, body, &secret, Time::from_secs(1_700_000_000)), "{name}");
    }
}
