//! Webhooks and notifications against a real server.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use rackwright::drive::http::{client, send};
use rackwright::drive::notify::notify;
use rackwright::model::{Fault, FaultClass, Notice, NoticeKind, Reason, Secret};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::rig::http::notifications;

async fn webhook(client: &reqwest::Client, uri: &Secret, method: &str, body: &Value) -> Result<(), Fault> {
    send(client, "webhook", uri, method, body).await
}

/// What the sink was sent: method, path, Content-Type, body.
pub type Seen = Arc<Mutex<Vec<(String, String, String, Value)>>>;

pub struct Sink {
    pub base: String,
    seen: Seen,
    _tasks: JoinSet<()>,
}

impl Sink {
    pub async fn start() -> Sink {
        let seen = Seen::default();
        let app = Router::new().route("/{*path}", any(answer)).with_state(seen.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Sink { base, seen, _tasks: tasks }
    }

    fn uri(&self, path: &str) -> Secret {
        Secret::new(format!("{}/{path}", self.base))
    }

    pub fn seen(&self) -> Vec<(String, String, String, Value)> {
        self.seen.lock().unwrap().clone()
    }
}

/// `/<code>/…` answers with that code, `/to/<code>/…` redirects to `/200/moved`, `/away` to another port.
async fn answer(
    State(seen): State<Seen>,
    method: Method,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    seen.lock().unwrap().push((method.to_string(), path.clone(), kind, body));
    let code = |text: &str| StatusCode::from_u16(text.parse().unwrap()).unwrap();
    match path.split('/').collect::<Vec<_>>()[..] {
        ["away", ..] => (StatusCode::TEMPORARY_REDIRECT, [("location", "http://127.0.0.2:9/200")]).into_response(),
        ["round", ..] => (StatusCode::TEMPORARY_REDIRECT, [("location", "/round")]).into_response(),
        ["to", number, ..] => (code(number), [("location", "/200/moved")]).into_response(),
        ["big", ..] => vec![b'x'; 8 << 20].into_response(),
        [number, ..] => code(number).into_response(),
        [] => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_webhook_sends_its_body_once_as_json() {
    let sink = Sink::start().await;
    let body = json!({ "b": [1, "x"], "a": null });
    assert_eq!(webhook(&client().unwrap(), &sink.uri("200/x"), "put", &body).await, Ok(()));
    assert_eq!(webhook(&client().unwrap(), &sink.uri("big"), "POST", &body).await, Ok(()));
    let sent = |method: &str, path: &str| (method.into(), path.into(), "application/json".into(), body.clone());
    assert_eq!(sink.seen(), [sent("PUT", "200/x"), sent("POST", "big")]);
}

#[tokio::test]
async fn a_status_decides_whether_another_try_makes_sense() {
    let sink = Sink::start().await;
    let client = client().unwrap();
    for (code, class) in [
        (400, FaultClass::Permanent),
        (401, FaultClass::Permanent),
        (404, FaultClass::Permanent),
        (408, FaultClass::Transient),
        (429, FaultClass::Transient),
        (500, FaultClass::Transient),
        (503, FaultClass::Transient),
    ] {
        let uri = sink.uri(&format!("{code}/hush?key=hush#hush"));
        let fault = webhook(&client, &uri, "POST", &json!({})).await.unwrap_err();
        assert_eq!(fault.class, class, "{code}: {fault}");
        assert!(fault.message.contains(&code.to_string()) && fault.message.contains(&sink.base), "{fault}");
        assert!(!fault.to_string().contains("hush"), "{fault}");
    }
}

#[tokio::test]
async fn redirects_are_followed_only_where_the_same_request_arrives() {
    let sink = Sink::start().await;
    let client = client().unwrap();
    let body = json!({ "n": 1 });
    for code in [307, 308] {
        assert_eq!(webhook(&client, &sink.uri(&format!("to/{code}")), "POST", &body).await, Ok(()));
        let (method, path, _, sent) = sink.seen().pop().unwrap();
        assert_eq!((method.as_str(), path.as_str(), sent), ("POST", "200/moved", body.clone()));
    }
    let before = sink.seen().len();
    for path in ["to/301", "to/302", "to/303", "away"] {
        let fault = webhook(&client, &sink.uri(path), "POST", &body).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::Redirected), "{path}");
        assert!(!fault.to_string().contains("127.0.0.2"), "{fault}");
    }
    assert_eq!(sink.seen().len(), before + 4, "none of them was followed");
    assert_eq!(webhook(&client, &sink.uri("round"), "POST", &body).await.unwrap_err().reason, Reason::Redirected);
}

#[tokio::test]
async fn an_unreachable_or_impossible_address_says_so_without_its_secrets() {
    let client = client().unwrap();
    // Bound and dropped: nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let uri = Secret::new(format!("http://hush:hush@{closed}/hush?hush"));
    let fault = webhook(&client, &uri, "POST", &json!({})).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::Unreachable), "{fault}");
    assert!(fault.message.contains(&closed.to_string()) && !fault.to_string().contains("hush"), "{fault}");
    for bad in ["hush", "ftp://hush/", "http://", "file:///hush", "http://[hush/"] {
        let fault = webhook(&client, &Secret::new(bad), "POST", &json!({})).await.unwrap_err();
        assert_eq!(fault.class, FaultClass::Operator, "{bad}: {fault}");
        assert!(!fault.to_string().contains("hush"), "{fault}");
    }
    let uri = Secret::new(format!("http://{closed}/"));
    assert_eq!(webhook(&client, &uri, "NO SUCH", &json!({})).await.unwrap_err().class, FaultClass::Operator);
}

#[tokio::test]
async fn tls_to_a_server_without_a_known_certificate_is_refused() {
    // Something that speaks no TLS at all stands in for every failed handshake.
    let sink = Sink::start().await;
    let uri = Secret::new(sink.base.replace("http://", "https://hush@") + "/hush");
    let fault = webhook(&client().unwrap(), &uri, "POST", &json!({})).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Transient);
    assert!(!fault.to_string().contains("hush"), "{fault}");
    assert!(sink.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = Secret::new(format!("http://{}/hush", listener.local_addr().unwrap()));
    let fault = webhook(&client().unwrap(), &uri, "POST", &json!({})).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::Timeout), "{fault}");
    assert!(!fault.to_string().contains("hush"), "{fault}");
}

fn notice(kind: NoticeKind, message: &str) -> Notice {
    Notice { kind, message: message.into() }
}

#[tokio::test]
async fn notifications_fill_the_body_at_every_depth() {
    let sink = Sink::start().await;
    let to = notifications(format!("{}/200", sink.base));
    let notices = [
        notice(NoticeKind::Begin, "hv1: {icon} \"quoted\" {message}"),
        notice(NoticeKind::Completed, "cluster1 is complete"),
    ];
    assert_eq!(notify(&client().unwrap(), &to, &notices).await, Ok(()));
    let bodies: Vec<Value> = sink.seen().into_iter().map(|(.., body)| body).collect();
    let first = "hv1: {icon} \"quoted\" {message}";
    let second = "cluster1 is complete #done";
    let filled = |icon: &str, message: &str| json!({ "text": format!("{icon} {message}"), "nested": [{ "a": message }, 7], "plain": "{other}" });
    assert_eq!(bodies, [filled("(b)", first), filled("(c)", second)]);
    assert_eq!((&sink.seen()[0].0[..], &sink.seen()[0].2[..]), ("POST", "application/json"));
}

#[tokio::test]
async fn the_first_notification_that_fails_is_the_last_one_sent() {
    let sink = Sink::start().await;
    let to = notifications(format!("{}/500/hush", sink.base));
    let notices = [notice(NoticeKind::Info, "one"), notice(NoticeKind::Failure, "two")];
    let fault = notify(&client().unwrap(), &to, &notices).await.unwrap_err();
    assert_eq!((fault.class, sink.seen().len()), (FaultClass::Transient, 1));
    assert!(!fault.to_string().contains("hush"), "{fault}");
}
