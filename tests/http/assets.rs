//! Static files over HTTP: conditions and ranges as RFC 9110 has them, and curl as a client nobody here wrote.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use rackwright::model::{Lease, LeaseOrigin, Mac, Policy, World};
use rackwright::serve::http::select::{Facts, Selection, part, select};
use rackwright::serve::trace::Service;

use crate::rig::http::{NOW, Rig, settings};

const ETAG: &str = "\"1-2-3\"";
/// RFC 9110's own example date.
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn facts() -> Facts<'static> {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_123);
    Facts { length: 1000, etag: ETAG, modified, now: modified + Duration::from_secs(3600) }
}

fn choose(headers: &[(&str, &str)]) -> Selection {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    select(&map, facts())
}

#[test]
fn conditions_are_judged_in_their_order() {
    use Selection::{NotModified, PreconditionFailed, Whole};
    for (headers, expected) in [
        (&[][..], Whole),
        (&[("if-none-match", ETAG)], NotModified),
        (&[("if-none-match", "W/\"1-2-3\"")], NotModified),
        (&[("if-none-match", "\"a,b\" , W/\"c\",\"1-2-3\"")], NotModified),
        (&[("if-none-match", "\"a\""), ("if-none-match", ETAG)], NotModified),
        (&[("if-none-match", "*")], NotModified),
        (&[("if-none-match", "\"1-2-4\"")], Whole),
        (&[("if-none-match", "1-2-3")], Whole),
        (&[("if-none-match", "\"unended")], Whole),
        (&[("if-none-match", "")], Whole),
        (&[("if-modified-since", MODIFIED)], NotModified),
        (&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
        (&[("if-modified-since", "Sun Nov  6 08:49:37 1994")], NotModified),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], Whole),
        (&[("if-modified-since", "yesterday")], Whole),
        (&[("if-none-match", "\"other\""), ("if-modified-since", MODIFIED)], Whole),
        (&[("if-match", ETAG)], Whole),
        (&[("if-match", "W/\"1-2-3\"")], PreconditionFailed),
        (&[("if-match", "\"other\"")], PreconditionFailed),
        (&[("if-match", "\"other\""), ("if-none-match", ETAG)], PreconditionFailed),
        (&[("if-unmodified-since", MODIFIED)], Whole),
        (&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], PreconditionFailed),
        (&[("if-match", "*"), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], Whole),
        (&[("if-none-match", ETAG), ("range", "bytes=0-0")], NotModified),
    ] {
        assert_eq!(choose(headers), expected, "{headers:?}");
    }
}

#[test]
fn ranges_are_read_as_the_rfc_means_them() {
    use Selection::{Unsatisfiable, Whole};
    let part = |first, last| Selection::Part { first, last };
    let huge = "bytes=0-99999999999999999999999999";
    for (range, expected) in [
        ("bytes=0-0", part(0, 0)),
        ("bytes=0-", part(0, 999)),
        ("bytes=5-9", part(5, 9)),
        ("bytes= 5-9", part(5, 9)),
        ("bytes=990-5000", part(990, 999)),
        (huge, part(0, 999)),
        ("bytes=-1", part(999, 999)),
        ("bytes=-5000", part(0, 999)),
        ("bytes=-0", Unsatisfiable),
        ("bytes=1000-", Unsatisfiable),
        ("bytes=99999999999999999999999999-", Unsatisfiable),
        ("bytes=9-5", Whole),
        ("bytes=0-1,4-5", Whole),
        ("bytes=-", Whole),
        ("bytes=a-b", Whole),
        ("bytes=1-x", Whole),
        ("bytes=x-1", Whole),
        ("bytes=+1-2", Whole),
        ("bytes=--1", Whole),
        ("octets=0-1", Whole),
        ("", Whole),
    ] {
        assert_eq!(choose(&[("range", range)]), expected, "{range}");
    }
    assert_eq!(choose(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]), Whole);
}

#[test]
fn a_part_is_given_only_of_the_file_that_was_begun() {
    let whole = Selection::Whole;
    let part = Selection::Part { first: 5, last: 999 };
    for (validator, expected) in [
        (ETAG, part),
        ("\"other\"", whole),
        ("W/\"1-2-3\"", whole),
        (MODIFIED, part),
        ("Sun, 06 Nov 1994 08:49:36 GMT", whole),
        ("Sun, 06 Nov 1994 08:49:38 GMT", whole),
        ("nonsense", whole),
    ] {
        assert_eq!(choose(&[("range", "bytes=5-"), ("if-range", validator)]), expected, "{validator}");
    }
    let mut map = HeaderMap::new();
    map.insert("range", HeaderValue::from_static("bytes=5-"));
    map.insert("if-range", HeaderValue::from_static(MODIFIED));
    let fresh = Facts { now: facts().modified + Duration::from_secs(1), ..facts() };
    assert_eq!(select(&map, fresh), whole, "changed a second ago: it may change again unseen");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_part_lies_within_the_file(range in "(bytes=)?[0-9-]{0,24}|bytes=[0-9]{1,4}-[0-9]{0,4}", length in 0..2000u64) {
        if let Selection::Part { first, last } = part(&range, length) {
            prop_assert!(first <= last && last < length, "{range} of {length}: {first}-{last}");
        }
    }

    #[test]
    fn parts_that_follow_each_other_make_the_whole(length in 1..500u64, cut in 0..500u64) {
        let cut = cut % length;
        let head = part(&format!("bytes=0-{cut}"), length);
        prop_assert_eq!(head, Selection::Part { first: 0, last: cut });
        let rest = part(&format!("bytes={}-", cut + 1), length);
        let expected = if cut + 1 == length { Selection::Unsatisfiable } else { Selection::Part { first: cut + 1, last: length - 1 } };
        prop_assert_eq!(rest, expected);
        prop_assert_eq!(part(&format!("bytes=-{}", length - cut), length), Selection::Part { first: cut, last: length - 1 });
    }

    #[test]
    fn any_header_is_judged(values in prop::collection::vec((0..6usize, "\\PC{0,40}|[\"W/, a*]{0,20}"), 0..6)) {
        let names = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];
        let mut map = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                map.append(names[name], value);
            }
        }
        if let Selection::Part { first, last } = select(&map, facts()) {
            prop_assert!(first <= last && last < 1000);
        }
    }
}

async fn site(files: &[(&str, &[u8])]) -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    for (name, octets) in files {
        std::fs::write(dir.path().join(name), octets).unwrap();
    }
    let mut settings = settings();
    settings.network.tftp_root = Some(dir.path().into());
    (Rig::with(settings, World::new(Arc::new(Policy::default()))).await, dir)
}

fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn every_answer_about_a_static_file_has_its_code_and_headers() {
    let (rig, _dir) = site(&[("a.efi", b"0123456789"), ("empty", b"")]).await;
    let whole = rig.get("/assets/a.efi").await;
    assert_eq!((whole.code, whole.header("content-type")), (200, Some("application/efi")));
    assert_eq!((whole.header("accept-ranges"), whole.header("content-length")), (Some("bytes"), Some("10")));
    let etag = whole.header("etag").unwrap();
    assert!(etag.starts_with('"'), "strong: {etag}");
    let ask = async |method, headers: &[(&str, &str)]| rig.ask(method, "/assets/a.efi", headers, b"").await;
    let gone = ask("GET", &[("Range", "bytes=10-")]).await;
    assert_eq!((gone.code, gone.header("content-range")), (416, Some("bytes */10")));
    assert_eq!(ask("GET", &[("Range", "bytes=0-1,3-4")]).await.text(), "0123456789");
    assert_eq!(ask("GET", &[("If-Match", "\"other\"")]).await.code, 412);
    let part = ask("GET", &[("Range", "bytes=2-3"), ("If-Range", etag)]).await;
    assert_eq!((part.code, part.text().as_str(), part.header("content-range")), (206, "23", Some("bytes 2-3/10")));
    let same = ask("GET", &[("If-None-Match", etag)]).await;
    assert_eq!((same.code, same.header("etag"), same.body.len()), (304, Some(etag), 0));
    let head = ask("HEAD", &[("Range", "bytes=2-3")]).await;
    assert_eq!((head.code, head.header("content-length"), head.body.len()), (206, Some("2"), 0));
    assert_eq!(ask("POST", &[]).await.code, 405);
    let empty = rig.get("/assets/empty").await;
    assert_eq!((empty.code, empty.header("content-length"), empty.body.len()), (200, Some("0"), 0));
    assert_eq!(rig.ask("GET", "/assets/empty", &[("Range", "bytes=0-")], b"").await.code, 416);
}

#[tokio::test]
async fn ranges_across_pieces_are_exact() {
    let big = octets((3 << 20) + 12345);
    let (rig, _dir) = site(&[("big", &big)]).await;
    let piece = 1 << 20;
    for (first, last) in
        [(0, 0), (piece - 1, piece), (piece, 2 * piece - 1), (5, 3 * piece + 7), (3 * piece, big.len() - 1)]
    {
        let reply = rig.ask("GET", "/assets/big", &[("Range", &format!("bytes={first}-{last}"))], b"").await;
        assert_eq!(reply.code, 206);
        assert!(reply.body == big[first..=last], "{first}-{last}");
    }
}

#[tokio::test]
async fn the_trace_shows_what_a_known_machine_asked() {
    let (rig, _dir) = site(&[("vmlinuz", b"kernel")]).await;
    let mac = Mac([0x52, 0x54, 0, 0xaa, 0xbb, 0x11]);
    assert_eq!(rig.get("/assets/vmlinuz").await.code, 200);
    let mut world = World::clone(&rig.ctx.world());
    let until = NOW + Duration::from_secs(60);
    let lease = Lease { ip: std::net::Ipv4Addr::LOCALHOST, mac: Some(mac), until, by: LeaseOrigin::Own };
    Arc::make_mut(&mut world.leases).insert(lease);
    rig.world.send_replace(Arc::new(world));
    assert_eq!(rig.get("/assets/vmlinuz").await.code, 200);
    assert_eq!(rig.get("/assets/none").await.code, 404);
    assert_eq!(rig.get("/boot/52:54:00:aa:bb:11/boot.ipxe").await.code, 200);
    rig.post("/checkin/host", b"{\"action\":\"claim\",\"host_macaddr\":\"52:54:00:aa:bb:11\"}").await;
    let told: Vec<_> = rig
        .ctx
        .trace
        .of(mac)
        .into_iter()
        .map(|step| (step.exchange.service(), step.exchange.asked(), step.exchange.outcome()))
        .collect();
    let [kernel, none, script, claim] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*kernel, (Service::Http, "GET /assets/vmlinuz".into(), "200, 6 octets".into()));
    assert_eq!(*none, (Service::Http, "GET /assets/none".into(), "404".into()));
    assert_eq!((script.0, script.1.as_str()), (Service::Http, "GET /boot/52:54:00:aa:bb:11/boot.ipxe"));
    assert!(script.2.starts_with("200, "), "{}", script.2);
    assert_eq!((claim.0, claim.1.as_str(), claim.2.as_str()), (Service::Checkin, "claim", "refused"));
}

/// Runs curl, off the runtime's thread; `None` (and a line that says so) where there is none.
async fn curl(arguments: &[&str]) -> Option<std::process::Output> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run =
        move || Command::new("curl").args(["--silent", "--show-error", "--max-time", "60"]).args(arguments).output();
    match tokio::task::spawn_blocking(run).await.unwrap() {
        Ok(output) => Some(output),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "curl is missing (Debian package curl)");
            println!("SKIPPED: curl is not installed (Debian package curl)");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_fetches_a_file_byte_for_byte_whole_in_part_and_resumed() {
    let big = octets((5 << 20) + 77);
    let (rig, dir) = site(&[("initrd.img", &big)]).await;
    let url = format!("http://{}/assets/initrd.img", rig.address);
    let to = dir.path().join("got");
    let to = to.to_str().unwrap();
    let Some(done) = curl(&["--fail", "--output", to, &url]).await else { return };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::read(to).unwrap() == big);
    let middle = curl(&["--fail", "--range", "1000000-2999999", &url]).await.unwrap();
    assert!(middle.stdout == big[1_000_000..3_000_000]);
    let end = curl(&["--fail", "--range", "-100", &url]).await.unwrap();
    assert!(end.stdout == big[big.len() - 100..]);
    std::fs::write(to, &big[..1_234_567]).unwrap();
    assert!(curl(&["--fail", "--continue-at", "-", "--output", to, &url]).await.unwrap().status.success());
    assert!(std::fs::read(to).unwrap() == big, "resumed");
    // Two files over one connection, and the second fetch of a file that has not changed.
    let null = ["--output", "/dev/null"];
    let twice = [&["--fail", "--write-out", "%{num_connects} "], &null[..], &null, &[&url, &url]].concat();
    assert_eq!(String::from_utf8_lossy(&curl(&twice).await.unwrap().stdout), "1 0 ");
    let tag = dir.path().join("tag");
    let tag = tag.to_str().unwrap();
    curl(&["--fail", "--etag-save", tag, "--output", to, &url]).await.unwrap();
    let again = ["--etag-compare", tag, "--output", to, "--write-out", "%{http_code} %{size_download}", &url];
    assert_eq!(String::from_utf8_lossy(&curl(&again).await.unwrap().stdout), "304 0");
    assert!(Path::new(to).exists());
}
