//! `GET /images/<sha256>/<name>`: an installer's image, verified before anybody gets it.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::assets::{instant, serve};
use super::{App, Peer, Why, busy, message};
use crate::serve::images::{Image, find};

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((sha256, name)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let response = match find(&app.ctx, &sha256, &name).await {
        Image::File(held) => {
            let mut response = serve(held, &name, &method, &headers, instant(app.ctx.now())).await;
            // The digest is in the address: it never means anything else.
            let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
            response.headers_mut().insert(header::CACHE_CONTROL, forever);
            response
        }
        Image::Waiting(why) => {
            let mut response = busy();
            response.extensions_mut().insert(Why(why));
            response
        }
        Image::Unknown => message(StatusCode::NOT_FOUND, "no such image"),
    };
    super::note(&app.ctx, peer, &method, format_args!("/images/{sha256}/{name}"), &response);
    response
}
