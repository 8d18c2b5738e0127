//! Push hooks: each forge's signature, and who is turned away.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rackwright::model::{Event, Policy, Secret, Time, World};
use rackwright::serve::http::push::{concerns, signed};
use rackwright::serve::http::{ServeError, bind};

use crate::rig::http::{NOW, Rig, settings};

/// The example of GitHub's documentation ("Validating webhook deliveries").
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
const TAG: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    list.iter().map(pair).collect()
}

fn check(list: &[(&str, &str)]) -> bool {
    signed(&headers(list), BODY, &Secret::new(SECRET), NOW)
}

#[test]
fn known_signatures_of_every_forge_are_taken() {
    let github = format!("sha256={TAG}");
    assert!(check(&[("X-Hub-Signature-256", &github)]));
    assert!(check(&[("X-Gitea-Signature", TAG)]));
    assert!(check(&[("X-Forgejo-Signature", TAG)]));
    assert!(check(&[("X-Gitlab-Token", SECRET)]));
}

#[test]
fn anything_else_is_not() {
    let other = TAG.replace('7', "8");
    let (github, sha1) = (format!("sha256={other}"), format!("sha1={TAG}"));
    for list in [
        vec![],
        vec![("X-Hub-Signature-256", TAG)],
        vec![("X-Hub-Signature-256", &github[..])],
        vec![("X-Hub-Signature-256", &sha1[..])],
        vec![("X-Hub-Signature-256", "")],
        vec![("X-Hub-Signature", &sha1[..])],
        vec![("X-Gitea-Signature", &other[..])],
        vec![("X-Gitea-Signature", &TAG[..62])],
        vec![("X-Gitea-Signature", "")],
        vec![("X-Gitlab-Token", "it's a secret to everybody")],
        vec![("X-Gitlab-Token", "")],
        vec![("X-Gitlab-Token", TAG)],
        // The first signature decides: a good one cannot make up for a bad one.
        vec![("X-Hub-Signature-256", &github[..]), ("X-Gitlab-Token", SECRET)],
    ] {
        assert!(!check(&list), "{list:?}");
    }
}

#[test]
fn standard_webhooks_are_checked_with_their_time() {
    // The test vector of the Standard Webhooks libraries.
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let body = br#"{"test": 2432232314}"#;
    let tag = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let list = |tag: &str| {
        let (id, at) = (("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("webhook-timestamp", "1614265330"));
        headers(&[id, at, ("webhook-signature", tag)])
    };
    let at = |offset: i64| Time::from_secs(1_614_265_330 + offset);
    assert!(signed(&list(tag), body, &secret, at(0)));
    assert!(signed(&list(&format!("v1,AAAA {tag}")), body, &secret, at(-299)));
    assert!(!signed(&list(tag), body, &secret, at(301)), "too old");
    assert!(!signed(&list(tag), body, &secret, at(-301)), "from the future");
    assert!(!signed(&list(&tag.replace("v1,", "v2,")), body, &secret, at(0)));
    assert!(!signed(&list("v1,g0hM9SsE"), body, &secret, at(0)));
    assert!(!signed(&list(tag), b"{}", &secret, at(0)));
}

#[test]
fn only_the_watched_branch_wakes() {
    assert!(concerns(br#"{"ref":"refs/heads/master"}"#, "master"));
    assert!(concerns(br#"{"ref":"refs/heads/site/rack1"}"#, "site/rack1"));
    assert!(!concerns(br#"{"ref":"refs/heads/rackwright/status"}"#, "master"));
    assert!(!concerns(br#"{"ref":"refs/tags/master"}"#, "master"));
    assert!(concerns(br#"{"zen":"a ping"}"#, "master"));
    assert!(concerns(b"payload=%7B%7D", "master"));
}

async fn rig(secret: &str) -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, secret).unwrap();
    let mut settings = settings();
    settings.repository.webhook_secret_file = Some(path);
    (Rig::with(settings, World::new(Arc::new(Policy::default()))).await, dir)
}

#[tokio::test]
async fn a_signed_push_wakes_the_loop_once() {
    let (rig, _dir) = rig("hush\n").await;
    let push = br#"{"ref":"refs/heads/master"}"#;
    let other = br#"{"ref":"refs/heads/rackwright/status"}"#;
    let reply = rig.ask("POST", "/hooks/push", &[("X-Gitlab-Token", "hush")], other).await;
    assert_eq!(reply.code, 202);
    let reply = rig.ask("POST", "/hooks/push", &[("X-Gitlab-Token", "wrong")], push).await;
    assert_eq!((reply.code, reply.message().as_str()), (401, "the signature is missing or wrong"));
    assert_eq!(rig.events(), []);
    let reply = rig.ask("POST", "/hooks/push", &[("X-Gitlab-Token", "hush")], push).await;
    assert_eq!(reply.code, 202);
    // A check-in goes through the same inbox: once it is answered, the hint before it was taken.
    rig.post("/checkin/host", br#"{"action":"install-start"}"#).await;
    assert_eq!(rig.events()[0], Event::Woken);
    assert_eq!(rig.events().len(), 2);
}

#[tokio::test]
async fn without_a_secret_nobody_may_push_and_an_oversized_payload_is_refused() {
    let rig_without = Rig::start().await;
    let reply = rig_without.ask("POST", "/hooks/push", &[("X-Gitlab-Token", "")], b"{}").await;
    assert_eq!(reply.code, 403);
    assert!(reply.message().contains("webhook_secret_file"));
    let (rig, _dir) = rig("hush").await;
    let reply = rig.ask("POST", "/hooks/push", &[("X-Gitlab-Token", "hush")], &vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(reply.code, 413);
    assert_eq!((rig.events(), rig_without.events()), (vec![], vec![]));
}

#[tokio::test]
async fn an_empty_or_missing_secret_file_stops_the_start() {
    let (rig, dir) = rig("hush").await;
    let mut settings = settings();
    settings.repository.webhook_secret_file = Some(dir.path().join("missing"));
    let mut ctx = rig.ctx.clone();
    ctx.settings = Arc::new(settings.clone());
    assert!(matches!(bind(&ctx).await, Err(ServeError::Secret { .. })));
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    settings.repository.webhook_secret_file = Some(dir.path().join("empty"));
    ctx.settings = Arc::new(settings);
    assert!(matches!(bind(&ctx).await, Err(ServeError::EmptySecret(_))));
}
