//! Commit statuses: each forge's request exactly, and when the plan has them told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use rackwright::drive::{forge, http};
use rackwright::model::{
    Action, ClusterName, CommitState, CommitStatus, Event, Fault, FaultClass, Fetched, Finding, Outcome, Reason,
    Revision,
};
use rackwright::settings::{Forge, ForgeKind};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::rig::plan::{Bench, rack};

const TOKEN: &str = "geheim-0123";
const SHA: &str = "0123456789012345678901234567890123456789";

type Seen = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

/// A forge: remembers requests, answers as told.
struct Sink {
    api: String,
    seen: Seen,
    answer: Arc<Mutex<(u16, String)>>,
    _tasks: JoinSet<()>,
}

type Told = (Seen, Arc<Mutex<(u16, String)>>);

async fn take(
    State((seen, answer)): State<Told>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    seen.lock().unwrap().push((format!("{method} {uri}"), headers, body));
    let (code, text) = answer.lock().unwrap().clone();
    (StatusCode::from_u16(code).unwrap(), text)
}

impl Sink {
    async fn start() -> Sink {
        let (seen, answer) = (Seen::default(), Arc::new(Mutex::new((201, "{}".to_owned()))));
        let app = axum::Router::new().fallback(take).with_state((seen.clone(), answer.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = format!("http://{}/api", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Sink { api, seen, answer, _tasks: tasks }
    }

    fn forge(&self, kind: ForgeKind, token_file: &Path) -> Forge {
        let repository = if kind == ForgeKind::Gitlab { "group/sub/infra" } else { "ops/infra" };
        Forge { kind, api: self.api.clone(), repository: repository.into(), token_file: token_file.into() }
    }
}

fn token(dir: &Path) -> PathBuf {
    let path = dir.join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    path
}

fn status(state: CommitState) -> CommitStatus {
    CommitStatus { revision: Revision::new(SHA), state, description: "waiting for 1 of 3 hosts".into() }
}

#[tokio::test]
async fn each_forge_is_asked_in_its_own_words() {
    let (sink, dir) = (Sink::start().await, tempfile::tempdir().unwrap());
    let (client, cluster) = (http::client().unwrap(), ClusterName::new("cluster1"));
    let token = token(dir.path());
    let text = "waiting for 1 of 3 hosts";
    for (kind, path, header, value, failure) in [
        (ForgeKind::Github, "repos/ops/infra", "authorization", format!("Bearer {TOKEN}"), "failure"),
        (ForgeKind::Gitea, "repos/ops/infra", "authorization", format!("token {TOKEN}"), "failure"),
        (ForgeKind::Gitlab, "projects/group%2Fsub%2Finfra", "private-token", TOKEN.to_owned(), "failed"),
    ] {
        for (state, word) in
            [(CommitState::Pending, "pending"), (CommitState::Success, "success"), (CommitState::Failure, failure)]
        {
            for cluster in [Some(&cluster), None] {
                forge::tell(&client, &sink.forge(kind, &token), cluster, &status(state)).await.unwrap();
                let (line, headers, body) = sink.seen.lock().unwrap().pop().unwrap();
                assert_eq!(line, format!("POST /api/{path}/statuses/{SHA}"));
                assert_eq!(headers[header], value.as_str());
                assert_eq!(headers["content-type"], "application/json");
                let shown = headers.iter().filter(|(_, value)| value.to_str().is_ok_and(|it| it.contains(TOKEN)));
                assert_eq!(shown.count(), 1, "the token is in one header only");
                let context = if cluster.is_some() { "rackwright/cluster1" } else { "rackwright" };
                let expected = match kind {
                    ForgeKind::Gitlab => json!({ "state": word, "name": context, "description": text }),
                    _ => json!({ "state": word, "context": context, "description": text }),
                };
                assert_eq!(body, expected);
                forge::look(&client, &sink.forge(kind, &token)).await.unwrap();
                let (line, headers, _) = sink.seen.lock().unwrap().pop().unwrap();
                assert_eq!((line, &headers[header]), (format!("GET /api/{path}"), &value.parse().unwrap()));
                if kind == ForgeKind::Github {
                    assert_eq!(headers["accept"], "application/vnd.github+json");
                    assert_eq!(headers["x-github-api-version"], "2022-11-28");
                }
            }
        }
    }
}

#[tokio::test]
async fn refusals_say_what_to_look_at_and_never_show_the_token() {
    let (sink, dir) = (Sink::start().await, tempfile::tempdir().unwrap());
    let client = http::client().unwrap();
    let token = token(dir.path());
    let tell = async |kind, state| forge::tell(&client, &sink.forge(kind, &token), None, &status(state)).await;
    for (code, class, told) in [
        (401, FaultClass::Permanent, "is the token in commit_status.token_file valid?"),
        (403, FaultClass::Permanent, "may the token write"),
        (404, FaultClass::Permanent, "are commit_status.api and .repository right"),
        (422, FaultClass::Permanent, "answered 422"),
        (429, FaultClass::Transient, "answered 429"),
        (502, FaultClass::Transient, "answered 502"),
    ] {
        *sink.answer.lock().unwrap() = (code, format!("you sent {TOKEN}"));
        let fault = tell(ForgeKind::Github, CommitState::Success).await.unwrap_err();
        assert!(fault.class == class && fault.message.contains(told), "{fault}");
        assert!(!fault.to_string().contains(TOKEN), "{fault}");
    }
    // GitLab knows no way from `pending` to `pending`: then it holds what it was to be told.
    let enqueue = "{\"message\":\"Cannot transition status via :enqueue from :pending\"}";
    *sink.answer.lock().unwrap() = (400, enqueue.into());
    tell(ForgeKind::Gitlab, CommitState::Pending).await.unwrap();
    assert!(tell(ForgeKind::Gitlab, CommitState::Failure).await.is_err());
    assert!(tell(ForgeKind::Gitea, CommitState::Pending).await.is_err());
    // The token is read each time.
    std::fs::write(&token, "\n").unwrap();
    let fault = tell(ForgeKind::Gitea, CommitState::Pending).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::SecretUnreadable), "{fault}");
    std::fs::remove_file(&token).unwrap();
    assert_eq!(tell(ForgeKind::Gitea, CommitState::Pending).await.unwrap_err().reason, Reason::SecretUnreadable);
}

fn bench() -> Bench {
    let mut bench = Bench::new(rack(1, 0, 0));
    Arc::make_mut(&mut bench.world.policy).commit_status = true;
    bench
}

fn due(bench: &Bench) -> Vec<(Option<ClusterName>, CommitStatus)> {
    let of = |action| match action {
        Action::TellForge { cluster, status } => Some((cluster, status)),
        _ => None,
    };
    bench.plan().actions.into_iter().filter_map(of).collect()
}

/// Tells everything that is due; gives it in short.
fn tell(bench: &mut Bench) -> Vec<String> {
    let due = due(bench);
    let short = |(cluster, status): &(Option<ClusterName>, CommitStatus)| {
        let whom = cluster.as_ref().map_or("-", |cluster| cluster.as_str());
        format!("{whom} {:?} {}", status.state, status.description)
    };
    let told = due.iter().map(short).collect();
    for (cluster, status) in due {
        bench.end(Action::TellForge { cluster, status }, Ok(Outcome::ForgeTold));
    }
    told
}

#[test]
fn what_holds_is_told_once_for_each_revision() {
    let mut bench = bench();
    let told = tell(&mut bench);
    assert_eq!(told, ["- Success in force", "c1 Pending provisioning: waiting for 1 of 1 hosts: hv1"]);
    assert_eq!(tell(&mut bench), Vec::<String>::new());
    bench.tell(Event::DaemonStarted);
    assert_eq!(tell(&mut bench), Vec::<String>::new(), "nor after a restart");
    bench.arm(1);
    bench.install(1, 1);
    bench.well(Action::Finish { host: bench.id(1), power_off: true });
    assert_eq!(tell(&mut bench), ["c1 Success completed"]);
    bench.push();
    assert_eq!(tell(&mut bench), ["- Success in force", "c1 Success completed"], "a new revision has no statuses yet");
    let revision =
        |bench: &Bench| bench.world.clusters[&ClusterName::new("c1")].commit_status.clone().unwrap().status.revision;
    assert_eq!(Some(revision(&bench)), bench.world.desired.as_ref().unwrap().revision);

    let findings = vec![
        Finding::error("clusters.yml", (3, 1), "yaml", "x".repeat(300)),
        Finding::error("bootstrap.yml", (9, 1), "yaml", "nor this"),
    ];
    let rejected = Fetched::Rejected { revision: Revision::new(SHA), findings };
    bench.end(Action::Fetch, Ok(Outcome::Fetched(rejected)));
    let refused = due(&bench);
    let [(None, status)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((status.revision.as_str(), status.state), (SHA, CommitState::Failure));
    assert!(status.description.starts_with("refused: clusters.yml:3:1: error: xxx"), "{}", status.description);
    assert_eq!(status.description.chars().count(), 140);
}

#[test]
fn a_stalled_host_fails_its_cluster_and_words_alone_are_told_calmly() {
    let mut bench = bench();
    tell(&mut bench);
    bench.bmc_seen(1);
    let host = bench.id(1);
    let stalled = |bench: &mut Bench, why: &str| {
        bench.end(Action::Probe { host: host.clone() }, Err(Fault::permanent(Reason::NotRedfish, why)));
    };
    stalled(&mut bench, "it speaks\nsomething else");
    assert_eq!(tell(&mut bench), ["c1 Failure hv1: NotRedfish: it speaks something else"]);
    stalled(&mut bench, "it is silent");
    assert_eq!(tell(&mut bench), Vec::<String>::new(), "other words may wait a moment");
    bench.wait(30);
    assert_eq!(tell(&mut bench), ["c1 Failure hv1: NotRedfish: it is silent"]);
}

#[test]
fn a_forge_that_does_not_answer_or_refuses_is_tried_again_and_in_nobody_s_way() {
    let mut bench = bench();
    let fail = |bench: &mut Bench, fault: &Fault| {
        let due = due(bench);
        due.into_iter()
            .map(|(cluster, status)| bench.end(Action::TellForge { cluster, status }, Err(fault.clone())))
            .count()
    };
    let unreachable = Fault::transient(Reason::Unreachable, "cannot connect");
    let mut last = bench.now;
    for round in 0..4_u64 {
        assert_eq!(fail(&mut bench, &unreachable), 2);
        assert_eq!(due(&bench), []);
        while due(&bench).len() < 2 {
            bench.now = bench.plan().wake_at.expect("an alarm");
        }
        assert!(bench.now.since(last).as_secs() >= 5 << round, "backoff");
        last = bench.now;
    }
    // Meanwhile the install goes on.
    bench.arm(1);
    bench.install(1, 1);
    fail(&mut bench, &Fault::permanent(Reason::Refused, "commit status: answered 401; is the token valid?"));
    let plan = bench.plan();
    assert_eq!(
        plan.clusters[0].notes,
        ["its commit status is not told: commit status: answered 401; is the token valid?"]
    );
    bench.wait(600);
    assert_eq!(due(&bench), [], "slowly");
    bench.wait(301);
    assert_eq!(tell(&mut bench).len(), 2);
    assert_eq!(bench.plan().clusters[0].notes, Vec::<String>::new());
}

#[test]
fn a_push_to_many_clusters_does_not_flood_the_forge() {
    let mut many = rack(1, 0, 0);
    for number in 2..=20 {
        let (mut host, mut cluster) = (many.hosts[0].clone(), many.clusters[0].clone());
        cluster.name = format!("c{number}");
        host.name = format!("hv{number}");
        host.cluster = cluster.name.clone();
        (host.bmc_mac.0[4], host.boot_mac.0[4]) = (number, number);
        many.clusters.push(cluster);
        many.hosts.push(host);
    }
    let mut bench = Bench::new(many);
    Arc::make_mut(&mut bench.world.policy).commit_status = true;
    let first = due(&bench);
    assert_eq!(first.len(), 4);
    for (cluster, status) in first {
        bench.tell(Event::Started { action: Action::TellForge { cluster, status } });
    }
    assert_eq!(due(&bench), []);
    bench.tell(Event::DaemonStarted);
    let mut told = 0;
    for _ in 0..10 {
        told += tell(&mut bench).len();
    }
    assert_eq!(told, 21);
}
