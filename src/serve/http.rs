//! HTTP: boot files and static files for machines, check-ins from them, push hooks from forges, status for people.
//!
//! [`bind`] first, [`Server::run`] then; dropping the running future closes every connection. Every connection, header,
//! body and request has a bound; what a handler has to say comes from `plan` (see [`boot`], [`super::api`]) or goes to
//! the inbox ([`checkin`], [`push`]).
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::counters::Counters;
use super::trace::{Exchange, HttpAsked, HttpOutcome};
use super::{Context, api};
use crate::model::{Lane, Secret, Time, World};
use crate::plan::{Plan, plan};

pub mod assets;
pub mod boot;
pub mod checkin;
pub mod dnsmasq;
mod images;
pub mod metrics;
mod places;
pub mod push;
pub mod select;

/// Listeners of `/api/v1/events` at once; more are told to come back.
const MAX_LISTENERS: usize = 64;
/// Time for a request's head, and for an idle connection to send its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time from a request's head to its response's head.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a peer to take what was sent (TCP_USER_TIMEOUT): one that stopped reading does not hold its place.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// A refused body is still read this far, so that its sender gets to see the answer.
const DRAIN: usize = 1 << 20;
/// How long a plan is good enough for the people who look at it.
const FRESH: Duration = Duration::from_secs(1);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen for HTTP on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("cannot read repository.webhook_secret_file {path}: {source}")]
    Secret { path: PathBuf, source: std::io::Error },
    /// The push hook's secret is empty: anybody could sign with it.
    #[error("repository.webhook_secret_file {0} is empty")]
    EmptySecret(PathBuf),
}

/// A bound server that does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    secret: Option<Secret>,
    counters: Vec<Counters>,
}

/// Binds `network.listen:http.port` and reads the push hook's secret.
pub async fn bind(ctx: &Context) -> Result<Server, ServeError> {
    let secret = match &ctx.settings.repository.webhook_secret_file {
        None => None,
        Some(path) => Some(read_secret(path).await?),
    };
    let address = SocketAddr::from((ctx.settings.network.listen, ctx.settings.network.http_port));
    let fail = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok(Server { listener, address, secret, counters: Vec::new() })
}

async fn read_secret(path: &PathBuf) -> Result<Secret, ServeError> {
    let text =
        tokio::fs::read_to_string(path).await.map_err(|source| ServeError::Secret { path: path.clone(), source })?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
    if secret.reveal().is_empty() {
        return Err(ServeError::EmptySecret(path.clone()));
    }
    Ok(secret)
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Adds other servers' counters to `/metrics`.
    pub fn with_counters(mut self, counters: Vec<Counters>) -> Self {
        self.counters = counters;
        self
    }

    /// Serves until dropped; dropping closes every connection.
    pub async fn run(self, ctx: Context) {
        let app = Arc::new(App {
            ctx,
            secret: self.secret,
            metrics: metrics::Metrics::new(self.counters),
            listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
            glance: Mutex::new(None),
        });
        let service = TowerToHyperService::new(router(app));
        let places = places::Places::default();
        let mut connections = JoinSet::new();
        loop {
            let Some(place) = places.free().await else { return };
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    // Out of file descriptors: give the open connections time to end.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let peer = Peer(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            let Some(place) = places.give(place, peer.ip()) else {
                tracing::debug!(client = %peer.ip(), "an HTTP client has too many connections");
                continue;
            };
            let service = service.clone();
            connections.spawn(async move {
                connection(stream, peer, service).await;
                drop(place);
            });
            while connections.try_join_next().is_some() {}
        }
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, peer: Peer, service: TowerToHyperService<Router>) {
    let socket = socket2::SockRef::from(&stream);
    let tuned = socket.set_tcp_user_timeout(Some(STALL_TIMEOUT)).and_then(|()| socket.set_tcp_nodelay(true));
    if let Err(error) = tuned {
        tracing::debug!(%error, "cannot tune an HTTP connection");
    }
    let with_peer = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        service.call(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(64)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), with_peer);
    if let Err(error) = served.await {
        tracing::debug!(%error, "an HTTP connection ended badly");
    }
}

/// Who asks: the socket's other end, with IPv4 addresses as such.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

impl Peer {
    /// Its address.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

pub(crate) struct App {
    /// The World, the inbox, the clock, the settings.
    pub ctx: Context,
    pub secret: Option<Secret>,
    pub metrics: metrics::Metrics,
    /// Places for listeners of `/api/v1/events`.
    pub listeners: Arc<Semaphore>,
    /// The plan people were shown last.
    glance: Mutex<Option<Glance>>,
}

/// A World, and what it means at a time.
#[derive(Clone)]
pub(crate) struct Glance {
    pub world: Arc<World>,
    pub now: Time,
    pub plan: Arc<Plan>,
}

impl App {
    /// The World now and its plan, made anew when the World has changed or a second has passed.
    pub fn glance(&self) -> Glance {
        let (world, now) = (self.ctx.world(), self.ctx.now());
        let mut kept = self.glance.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(last) if Arc::ptr_eq(&last.world, &world) && now.since(last.now) < FRESH && now >= last.now => {
                last.clone()
            }
            _ => {
                let fresh = Glance { plan: Arc::new(plan(&world, now)), world, now };
                *kept = Some(fresh.clone());
                fresh
            }
        }
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/boot/{mac}/{name}", get(boot::get))
        .route("/assets/{*path}", get(assets::get))
        .route("/images/{sha256}/{name}", get(images::get))
        .route("/checkin", get(checkin::hello))
        .route("/checkin/host", get(checkin::hello).post(checkin::plain))
        .route("/checkin/host/", post(checkin::plain))
        .route("/checkin/host/{token}", post(checkin::with_token))
        .route("/checkin/dnsmasq", get(checkin::hello).post(dnsmasq::post))
        .route("/hooks/push", post(push::post))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::get))
        .merge(api::routes())
        .fallback(|| async { message(StatusCode::NOT_FOUND, "no such page") })
        .method_not_allowed_fallback(|| async { message(StatusCode::METHOD_NOT_ALLOWED, "method not allowed") })
        .layer(middleware::from_fn_with_state(app.clone(), watch_over))
        .with_state(app)
}

/// Bounds a request's time and counts it.
async fn watch_over(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "other".into(), |path| path.as_str().to_owned());
    let mut response = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request))
        .await
        .unwrap_or_else(|_| message(StatusCode::REQUEST_TIMEOUT, "the request took too long"));
    app.metrics.request(route, response.status());
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// `/readyz`: the loop runs and has looked at the repository once.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let world = app.ctx.world();
    let looked = world.git.fetched_at.is_some() || world.lanes.failure(&Lane::Fetch).is_some();
    if world.desired.is_some() || world.rejected.is_some() || looked {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the repository has not been read yet\n").into_response()
    }
}

/// A JSON answer `{"message": …}`, the shape that PVC's nodes know.
pub(crate) fn message(code: StatusCode, text: impl Into<String>) -> Response {
    (code, axum::Json(serde_json::json!({ "message": text.into() }))).into_response()
}

/// Why a machine was refused, for the trace.
#[derive(Clone, Debug)]
pub(crate) struct Why(pub String);

/// Notes an answer in the boot-chain trace of the machine that asked.
pub(crate) fn note(ctx: &Context, peer: Peer, method: &Method, path: fmt::Arguments<'_>, response: &Response) {
    ctx.note_at(peer.ip(), || {
        let length = response.body().size_hint().exact();
        let why = response.extensions().get::<Why>().map(|Why(why)| why.as_str().into());
        let octets = length.filter(|_| why.is_none() && response.status().is_success());
        let asked = HttpAsked { head: method == Method::HEAD, path: path.to_string().into() };
        Exchange::Http { asked, outcome: HttpOutcome { code: response.status().as_u16(), octets, why } }
    });
}

/// The answer when the loop is overloaded or stopping.
pub(crate) fn busy() -> Response {
    let mut response = message(StatusCode::SERVICE_UNAVAILABLE, "busy, please try again");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Reads a body of at most `limit` octets; the error is the answer to give.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Vec<u8>, Box<Response>> {
    let mut stream = body.into_data_stream();
    let (mut octets, mut seen) = (Vec::new(), 0usize);
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else {
            return Err(Box::new(message(StatusCode::BAD_REQUEST, "the body broke off")));
        };
        seen += chunk.len();
        if seen <= limit {
            octets.extend_from_slice(&chunk);
        } else if seen > limit + DRAIN {
            break;
        }
    }
    if seen > limit {
        return Err(Box::new(message(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body may have {limit} octets at most"),
        )));
    }
    Ok(octets)
}
