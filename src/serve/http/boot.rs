//! `GET /boot/<mac>/<name>`: a machine's boot script and answer files, as `plan::boot` says.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{App, Peer, Why, busy, message};
use crate::model::Mac;
use crate::model::desired::TOKEN_MARK;
use crate::plan::boot::{FileAnswer, file};
use crate::serve::Context;
use crate::serve::claim::{ClaimError, claim};

/// Octets of a token's text.
const TOKEN_LENGTH: usize = 32;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    method: Method,
    Path((mac, name)): Path<(String, String)>,
) -> Response {
    let Ok(mac) = mac.parse::<Mac>() else {
        return message(StatusCode::BAD_REQUEST, "the path holds no MAC address");
    };
    let answer = file(&app.ctx.world(), mac, &name, peer.ip());
    let response = respond(&app.ctx, answer, peer.0, method == Method::HEAD).await;
    super::note(&app.ctx, peer, &method, format_args!("/boot/{mac}/{name}"), &response);
    response
}

/// Turns an answer into a response. A HEAD request never claims: it only tells how long the file would be.
pub async fn respond(ctx: &Context, answer: FileAnswer, peer: SocketAddr, head: bool) -> Response {
    match answer {
        FileAnswer::Body(body) => text(StatusCode::OK, body.to_string()),
        FileAnswer::Claim { body, .. } if head => {
            let marks = body.matches(TOKEN_MARK).count();
            let length = body.len() + marks * TOKEN_LENGTH - marks * TOKEN_MARK.len();
            let mut response = text(StatusCode::OK, String::new());
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            response
        }
        FileAnswer::Claim { mac, body } => match claim(ctx, mac, peer, &body).await {
            Ok(body) => text(StatusCode::OK, body),
            Err(ClaimError::Refused(reason)) => refused(reason),
            Err(ClaimError::Busy | ClaimError::NoRandomness) => busy(),
        },
        FileAnswer::Refused(reason) => refused(reason),
        FileAnswer::NotFound => text(StatusCode::NOT_FOUND, "no such file for this machine\n".into()),
    }
}

/// 403, with the reason for the machine's console and for the trace.
fn refused(reason: String) -> Response {
    let mut response = text(StatusCode::FORBIDDEN, format!("{reason}\n"));
    response.extensions_mut().insert(Why(reason));
    response
}

/// Plain text that nobody may keep: the next answer may differ.
fn text(code: StatusCode, body: String) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (code, headers, body).into_response()
}
