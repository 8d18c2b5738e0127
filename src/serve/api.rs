//! Read-only status for people and programs: `/api/v1/…`, and the rack as a page.
//!
//! The fields are those of the status files ([`status`](crate::model::status)), as JSON.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::http::{App, message};
use crate::model::{ClusterName, HostId, HostState};
use crate::plan::report::{cluster_status, host_status};
use rack::Rack;

pub mod chain;
pub mod events;
pub mod openapi;
pub mod page;
pub mod rack;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(front))
        .route("/api/v1/rack", get(whole))
        .route("/api/v1/clusters", get(clusters))
        .route("/api/v1/clusters/{cluster}", get(cluster))
        .route("/api/v1/hosts", get(hosts))
        .route("/api/v1/hosts/{cluster}/{host}", get(host))
        .route("/api/v1/events", get(events::get))
        .route("/api/v1/openapi.json", get(|| async { fresh(openapi::document()) }))
}

/// A JSON answer that nobody may keep.
fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// `GET /`: the page; a bare message for programs that ask for JSON only.
async fn front(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("json") && !accept.contains("html") {
        return message(StatusCode::OK, "rackwright API");
    }
    let mut octets = [0; 16];
    if getrandom::fill(&mut octets).is_err() {
        return message(StatusCode::INTERNAL_SERVER_ERROR, "no randomness");
    }
    let nonce = hex::encode(octets);
    let glance = app.glance();
    let mut rack = Rack::of(&glance.world, &glance.plan);
    rack.standings = chain::standings(&app.ctx, &glance.world, &rack, glance.now);
    let html = match page::render(&rack, glance.now, &nonce) {
        Ok(html) => html,
        Err(error) => return message(StatusCode::INTERNAL_SERVER_ERROR, format!("the page cannot be made: {error}")),
    };
    let policy = page::content_security_policy(&nonce);
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn whole(State(app): State<Arc<App>>) -> Response {
    fresh(Rack::overview(&app.ctx.world()))
}

async fn clusters(State(app): State<Arc<App>>) -> Response {
    let glance = app.glance();
    let names = glance.world.desired.iter().flat_map(|desired| desired.clusters.keys());
    fresh(names.filter_map(|name| cluster_status(&glance.world, &glance.plan, name)).collect::<Vec<_>>())
}

async fn cluster(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let glance = app.glance();
    match cluster_status(&glance.world, &glance.plan, &ClusterName::new(name)) {
        Some(status) => fresh(status),
        None => message(StatusCode::NOT_FOUND, "no such cluster in the revision in force"),
    }
}

#[derive(Deserialize)]
struct Filter {
    cluster: Option<String>,
    state: Option<String>,
}

async fn hosts(
    State(app): State<Arc<App>>,
    filter: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(filter)) = filter else { return message(StatusCode::BAD_REQUEST, "the query cannot be read") };
    let state = match filter.state.as_deref().map(|word| HostState::parse(word).ok_or(word)) {
        Some(Err(_)) => {
            let known = HostState::ALL.map(HostState::as_str).join(", ");
            return message(StatusCode::BAD_REQUEST, format!("`state` is not one of {known}"));
        }
        state => state.and_then(Result::ok),
    };
    let glance = app.glance();
    // Like the status branch: also an installed host that has left the repository.
    let wanted = glance.world.desired.iter().flat_map(|desired| desired.hosts.keys());
    let ids: BTreeSet<&HostId> = wanted.chain(glance.world.hosts.keys()).collect();
    let listed = ids
        .into_iter()
        .filter(|id| filter.cluster.as_ref().is_none_or(|name| id.cluster.as_str() == name))
        .filter_map(|id| host_status(&glance.world, &glance.plan, id))
        .filter(|status| state.is_none_or(|state| status.state == state));
    fresh(listed.collect::<Vec<_>>())
}

async fn host(State(app): State<Arc<App>>, Path((cluster, host)): Path<(String, String)>) -> Response {
    let glance = app.glance();
    match host_status(&glance.world, &glance.plan, &HostId::new(&ClusterName::new(cluster), host)) {
        Some(status) => fresh(chain::Traced::of(&app.ctx, &glance.world, status, glance.now)),
        None => message(StatusCode::NOT_FOUND, "no such host in the revision in force"),
    }
}
