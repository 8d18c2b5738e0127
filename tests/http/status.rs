//! Health, metrics, the status API, its event stream, and the page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use rackwright::model::id::Digest;
use rackwright::model::status::{
    ClusterStatus, Condition, Endpoint, GenerationStatus, HostStatus, SshStatus, TaskStatus, WriteBackStatus,
};
use rackwright::model::{
    Action, Announced, Change, ClusterName, ClusterState, ConditionStatus, Desired, Fault, Finding, Generation,
    HostState, Lane, Lease, LeaseOrigin, Mac, Move, Moves, Policy, Progress, Reason, Rejected, Revision, Subnet,
    TaskId, TaskResult, Time, Unclaimed, World,
};
use rackwright::serve::api::events::{News, news};
use rackwright::serve::api::openapi::document;
use rackwright::serve::{dhcp, tftp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::http::{NOW, PATIENCE, Rig, settings};
use crate::rig::plan::{Bench, rack};
use crate::rig::schema;

fn world() -> World {
    let mut policy = Policy::default();
    policy.site.subnets.push(Subnet {
        net: "192.0.2.0/24".parse::<Ipv4Net>().unwrap(),
        first: [192, 0, 2, 100].into(),
        last: [192, 0, 2, 109].into(),
        gateway: None,
        dns: Vec::new(),
        domain: None,
        ntp: Vec::new(),
        lease_time: Duration::from_secs(3600),
    });
    let mut world = World::new(Arc::new(policy));
    let leases = Arc::make_mut(&mut world.leases);
    for (last, until) in [(5, 60), (100, 60), (101, -60), (109, 60)] {
        leases.insert(Lease {
            ip: [192, 0, 2, last].into(),
            mac: Some(Mac([2, 0, 0, 0, 0, last])),
            until: Time(NOW.0 + until * 1000),
            by: LeaseOrigin::Own,
        });
    }
    world
}

/// Three failures in a row.
fn fail(world: &mut World, lane: Lane, action: &Action) {
    let fault = Fault::transient(Reason::Unreachable, "no route to <git.example.net>");
    let lanes = Arc::make_mut(&mut world.lanes);
    (0..3).for_each(|_| lanes.failed(lane.clone(), action, fault.clone(), Digest::new(""), NOW));
}

#[tokio::test]
async fn ready_means_that_the_repository_was_looked_at() {
    let rig = Rig::start().await;
    assert_eq!((rig.get("/healthz").await.code, rig.get("/readyz").await.code), (200, 503));
    let mut world = World::new(Arc::new(Policy::default()));
    fail(&mut world, Lane::Fetch, &Action::Fetch);
    rig.world.send_replace(Arc::new(world.clone()));
    assert_eq!(rig.get("/readyz").await.code, 200, "an unreachable remote does not take the servers away");
    Arc::make_mut(&mut world.lanes).forget_failure(&Lane::Fetch);
    world.desired = Some(Arc::default());
    rig.world.send_replace(Arc::new(world));
    assert_eq!(rig.get("/readyz").await.code, 200);
    let missing = rig.get("/nothing").await;
    assert_eq!((missing.code, missing.message().as_str()), (404, "no such page"));
    assert_eq!(missing.header("x-content-type-options"), Some("nosniff"));
}

/// OpenMetrics text as series -> value; every line must be one.
fn series(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("name and value");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[tokio::test]
async fn metrics_count_by_kind_and_never_by_host() {
    // As `daemon::servers` hands them over.
    let (dhcp, tftp) = (dhcp::counters::new(), tftp::counters::new());
    dhcp.count("discover", "offer");
    dhcp.count("discover", "offer");
    tftp.count("read", "claim");
    let mut world = world();
    world.git.fetched_at = Some(NOW - Duration::from_secs(90));
    let publish = Action::Publish { fingerprint: 0, moves_upto: 0, intents: Vec::new(), tasks: Vec::new() };
    fail(&mut world, Lane::Publish, &publish);
    world.foreign_dhcp = Some(([192, 0, 2, 66].into(), NOW));
    let rig = Rig::counting(settings(), world, vec![dhcp, tftp]).await;
    rig.post("/checkin/host", br#"{"action":"install-start"}"#).await;
    rig.post("/checkin/host", br#"{"action":"install-start"}"#).await;
    rig.post("/checkin/host", b"junk").await;
    rig.post("/checkin/host/00112233445566778899aabbccddeeff", br#"{"action":"install-complete"}"#).await;
    rig.get("/no/such/page").await;
    let reply = rig.get("/metrics").await;
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let series = series(&reply.text());
    for (name, value) in [
        ("rackwright_checkins_total{action=\"install-start\",outcome=\"accepted\"}", 2.0),
        ("rackwright_checkins_total{action=\"unknown\",outcome=\"invalid\"}", 1.0),
        ("rackwright_checkins_total{action=\"install-complete\",outcome=\"accepted\"}", 1.0),
        ("rackwright_http_requests_total{route=\"/checkin/host\",code=\"200\"}", 2.0),
        ("rackwright_http_requests_total{route=\"/checkin/host\",code=\"400\"}", 1.0),
        ("rackwright_http_requests_total{route=\"/checkin/host/{token}\",code=\"200\"}", 1.0),
        ("rackwright_http_requests_total{route=\"other\",code=\"404\"}", 1.0),
        ("rackwright_dhcp_discover_total{outcome=\"offer\"}", 2.0),
        ("rackwright_dhcp_discover_total{outcome=\"exhausted\"}", 0.0),
        ("rackwright_dhcp_other_total{outcome=\"other\"}", 0.0),
        ("rackwright_tftp_read_total{outcome=\"claim\"}", 1.0),
        ("rackwright_leases_used{subnet=\"192.0.2.0/24\"}", 2.0),
        ("rackwright_leases_size{subnet=\"192.0.2.0/24\"}", 10.0),
        ("rackwright_git_fetch_age_seconds", 90.0),
        ("rackwright_git_fetch_failures", 0.0),
        ("rackwright_git_publish_failures", 3.0),
        ("rackwright_foreign_dhcp", 1.0),
        ("rackwright_rejected", 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name} in {series:#?}");
    }
    assert!(!reply.text().contains("00112233"), "no token becomes a label");
}

fn moves(range: std::ops::RangeInclusive<u64>) -> Moves {
    let step = |seq| Move {
        seq,
        at: Time::from_secs(1_800_000_000),
        subject: "cluster1/hv1".into(),
        change: match seq {
            5 => Change::Cluster { from: Some(ClusterState::Provisioning), to: ClusterState::HooksRunning },
            _ => Change::Host { from: Some(HostState::Init), to: HostState::ALL[seq as usize] },
        },
        message: String::new(),
    };
    Moves { last: *range.end(), recent: range.map(step).collect(), ..Moves::default() }
}

#[test]
fn a_listener_hears_what_it_missed_or_that_it_missed_too_much() {
    let seqs = |after| -> Vec<u64> {
        let seq = |item| match item {
            News::Changed(change) => Move::clone(&change).seq,
            News::Reset(last) => 1000 + last,
        };
        news(&moves(5..=8), after).into_iter().map(seq).collect()
    };
    assert_eq!(seqs(4), [5, 6, 7, 8]);
    assert_eq!(seqs(7), [8]);
    assert!(seqs(8).is_empty());
    assert_eq!(seqs(3), [1008], "number 4 is forgotten");
    assert_eq!(seqs(9), [1008], "a number from another life");
    assert!(news(&Moves::default(), 0).is_empty());
    assert_eq!(news(&Moves { last: 3, ..Moves::default() }, 1), [News::Reset(3)]);
}

/// Reads a stream until `mark` has come.
async fn until(stream: &mut TcpStream, seen: &mut String, mark: &str) {
    let reading = async {
        let mut buffer = [0; 4096];
        while !seen.contains(mark) {
            let count = stream.read(&mut buffer).await.expect("read");
            assert!(count > 0, "the stream ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{mark} never came: {seen}"));
}

async fn listen(rig: &Rig, last: Option<u64>) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let id = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let head = format!("GET /api/v1/events HTTP/1.1\r\nHost: rack\r\nAccept: text/event-stream\r\n{id}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn the_event_stream_resumes_and_follows() {
    let rig = Rig::start().await;
    let push = |upto| {
        let mut world = World::new(Arc::new(Policy::default()));
        world.moves = Arc::new(moves(1..=upto));
        rig.world.send_replace(Arc::new(world));
    };
    push(3);
    let (mut resumed, mut fresh) = (listen(&rig, Some(1)).await, listen(&rig, None).await);
    let (mut seen, mut seen_fresh) = (String::new(), String::new());
    until(&mut resumed, &mut seen, "pxe-booting").await;
    until(&mut fresh, &mut seen_fresh, "text/event-stream").await;
    push(3);
    push(5);
    until(&mut resumed, &mut seen, "hooks-running").await;
    until(&mut fresh, &mut seen_fresh, "hooks-running").await;
    assert!(!seen.contains("characterizing\""));
    for seq in 2..=5 {
        assert_eq!(seen.matches(&format!("\nid: {seq}\n")).count(), 1, "{seen}");
        assert_eq!(seen_fresh.matches(&format!("\nid: {seq}\n")).count(), usize::from(seq > 3), "{seen_fresh}");
    }
    let data = r#"{"seq":4,"at":"2027-01-15T08:00:00Z","kind":"host","subject":"cluster1/hv1","from":"init","to":"installing"}"#;
    assert!(seen.contains(&format!("data: {data}")) && seen.contains("event: transition"), "{seen}");
    assert!(seen.contains("event: cluster\n") && seen.contains("\"kind\":\"cluster\""), "{seen}");
}

#[tokio::test]
async fn too_many_listeners_are_told_to_come_back() {
    let rig = Rig::start().await;
    let mut kept = Vec::new();
    for _ in 0..64 {
        let mut stream = listen(&rig, None).await;
        until(&mut stream, &mut String::new(), "200 OK").await;
        kept.push(stream);
    }
    let reply = rig.get("/api/v1/events").await;
    assert_eq!((reply.code, reply.header("retry-after")), (503, Some("5")));
    drop(kept);
    let free = async {
        // A place is free again as soon as the server notices that its listener left.
        loop {
            let mut world = World::new(Arc::new(Policy::default()));
            world.moves = Arc::new(moves(1..=1));
            rig.world.send_replace(Arc::new(world));
            let mut stream = listen(&rig, Some(0)).await;
            let mut seen = String::new();
            until(&mut stream, &mut seen, "\r\n\r\n").await;
            if seen.contains("200 OK") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("places come back");
}

#[tokio::test]
async fn the_api_answers_in_json_and_its_document_names_every_route() {
    let rig = Rig::start().await;
    let mut world = world();
    world.rejected = Some(Arc::new(Rejected {
        revision: Revision::new("0123456789abcdef"),
        findings: vec![Finding::error("clusters.yml", (1, 2), "unknown-key", "no such key").hint("remove it")],
        at: NOW,
    }));
    world.desired = Some(Arc::new(Desired::new(Some(Revision::new("feed")), [], [], Vec::new())));
    rig.world.send_replace(Arc::new(world));
    let rack = rig.get("/api/v1/rack").await.json();
    assert_eq!((&rack["armed"], &rack["revision"]), (&serde_json::json!(false), &serde_json::json!("feed")));
    assert_eq!(rack["rejected"]["findings"][0]["hint"], "remove it");
    assert_eq!(rig.get("/api/v1/clusters").await.json(), serde_json::json!([]));
    assert_eq!(rig.get("/api/v1/hosts?state=installing&cluster=x").await.json(), serde_json::json!([]));
    assert!(rig.get("/api/v1/hosts?state=asleep").await.message().contains("pxe-booting"));
    assert_eq!(rig.get("/api/v1/hosts/cluster1/hv1").await.code, 404);
    assert_eq!(rig.get("/api/v1/clusters/cluster1").await.code, 404);
    let served = rig.get("/api/v1/openapi.json").await.json();
    assert_eq!(served, document());
    for path in served["paths"].as_object().unwrap().keys().filter(|path| !path.ends_with("/events")) {
        let code = rig.get(&path.replace(['{', '}'], "")).await.code;
        assert!(code == 200 || path.contains('{') && code == 404, "{path}: {code}");
    }
}

#[tokio::test]
async fn answers_are_what_the_document_says() {
    let rig = Rig::start().await;
    let mut installing = Bench::new(rack(2, 1, 1));
    installing.arm(1);
    installing.claim(1, 1);
    installing.arm(2);
    installing.install(2, 2);
    let mut world = Bench::completed().world;
    world.rejected = Some(Arc::new(Rejected {
        revision: Revision::new("0123456789abcdef"),
        findings: vec![Finding::error("clusters.yml", (1, 2), "unknown-key", "no such key").hint("remove it")],
        at: NOW,
    }));
    let publish = Action::Publish { fingerprint: 0, moves_upto: 0, intents: Vec::new(), tasks: Vec::new() };
    fail(&mut world, Lane::Publish, &publish);
    world.foreign_dhcp = Some(([192, 0, 2, 66].into(), NOW));
    world.full_ranges = Arc::new(BTreeMap::from([("192.0.2.0/24".parse().unwrap(), NOW)]));
    let stranger = Unclaimed { ip: [192, 0, 2, 7].into(), since: NOW };
    world.unclaimed = Arc::new(BTreeMap::from([(Mac([2, 0, 0, 0, 0, 7]), stranger)]));
    for world in [world, installing.world] {
        let hosts: Vec<_> = world.hosts.keys().cloned().collect();
        rig.world.send_replace(Arc::new(world));
        for path in ["rack", "clusters", "hosts", "openapi.json"] {
            schema::check(&format!("/api/v1/{path}"), &rig.get(&format!("/api/v1/{path}")).await.json());
        }
        for host in hosts {
            let (one, its) = (format!("/api/v1/hosts/{host}"), format!("/api/v1/clusters/{}", host.cluster));
            schema::check("/api/v1/hosts/{cluster}/{host}", &rig.get(&one).await.json());
            schema::check("/api/v1/clusters/{cluster}", &rig.get(&its).await.json());
        }
    }
    // Fields that only some hosts and clusters have.
    let (cluster, host) = status();
    schema::check("/api/v1/clusters/{cluster}", &serde_json::to_value(cluster).unwrap());
    schema::check("/api/v1/hosts", &serde_json::json!([host]));
}

#[test]
fn every_reference_of_the_document_exists() {
    let document = document();
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

pub fn status() -> (ClusterStatus, HostStatus) {
    let evil = "<script>alert('x')</script> & \"y\"";
    let condition = Condition {
        status: ConditionStatus::Stalled,
        reason: Reason::AnsibleFailed,
        message: evil.into(),
        until: Some(Time::parse("2027-01-15T08:00:00Z").unwrap().into()),
    };
    let cluster = ClusterStatus {
        cluster: ClusterName::new("cluster1"),
        state: ClusterState::Provisioning,
        since: NOW.into(),
        condition: condition.clone(),
        revision: None,
        hosts: BTreeMap::new(),
        tasks: vec![TaskStatus {
            id: TaskId::new("hook-1-x"),
            name: evil.into(),
            result: TaskResult::Failed,
            message: Some(evil.into()),
            at: None,
            definition: None,
            covers: BTreeMap::new(),
            failed: BTreeMap::from([("cluster1/hv1".parse().unwrap(), evil.into())]),
            fault: Some(Fault::operator(Reason::AnsibleFailed, evil)),
            failed_at_run: None,
            announced: Some(Announced { run: 1, covers: BTreeMap::new() }),
            log: Some("runs/cluster1/hook-1-x/".into()),
        }],
        write_back: Some(WriteBackStatus {
            id: Digest::new("ab"),
            revision: None,
            run: 1,
            since: NOW.into(),
            message: None,
        }),
        progress: Some(Progress { task: evil.into(), ..Progress::default() }),
        notes: vec![evil.into()],
    };
    let host = HostStatus {
        cluster: ClusterName::new("cluster1"),
        host: evil.into(),
        state: HostState::PxeBooting,
        since: NOW.into(),
        condition,
        generation: GenerationStatus { wanted: Generation(1), installed: None },
        installed: None,
        claim: None,
        announced: None,
        bmc: None,
        boot: Endpoint::default(),
        power: None,
        ssh: Some(SshStatus {
            fingerprint: Some(evil.into()),
            host_key: Some(evil.into()),
            boot_before: None,
            configured: None,
        }),
        preparing: None,
        disk: None,
        inventory: None,
        drift: true,
        notes: vec![evil.into()],
    };
    (cluster, host)
}

#[test]
fn the_documents_schemas_name_exactly_the_fields_of_the_status() {
    let ((cluster, host), document) = (status(), document());
    for (name, value) in [("Cluster", serde_json::to_value(cluster)), ("Host", serde_json::to_value(host))] {
        let schema = &document["components"]["schemas"][name];
        let value = value.unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(schema["properties"].get(field).is_some(), "{name}.{field}");
        }
        for required in schema["required"].as_array().unwrap() {
            assert!(value.get(required.as_str().unwrap()).is_some(), "{name}.{required}");
        }
    }
}
