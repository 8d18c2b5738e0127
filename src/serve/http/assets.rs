//! `GET /assets/<path>`: the static root, from memory, with ranges and validators; nothing outside of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};
use std::time::SystemTime;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Extension, Path as UrlPath, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};

use super::select::{Facts, Selection, select};
use super::{App, Peer, message};
use crate::model::Time;
use crate::serve::files::{Found, Held, PIECE};

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    UrlPath(path): UrlPath<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let response = match app.ctx.library.find(&path).await {
        Found::File(held) => serve(held, &path, &method, &headers, instant(app.ctx.now())).await,
        Found::Outside | Found::Missing => message(StatusCode::NOT_FOUND, "no such file"),
    };
    super::note(&app.ctx, peer, &method, format_args!("/assets/{path}"), &response);
    response
}

/// The answer about a file. The first piece is read before anything is promised.
pub(super) async fn serve(
    held: Arc<Held>,
    name: &str,
    method: &Method,
    headers: &HeaderMap,
    now: SystemTime,
) -> Response {
    let (length, etag, modified) = (held.len(), held.etag(), held.modified());
    let selection = select(headers, Facts { length, etag: &etag, modified, now });
    let (status, first, count) = match selection {
        Selection::Whole => (StatusCode::OK, 0, length),
        Selection::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Selection::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Selection::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, 0, 0),
        Selection::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let sends = status.is_success();
    let body = if sends && method != Method::HEAD { open(held, first, count).await } else { Ok(Body::empty()) };
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(%error, name, "cannot read a static file");
            return message(StatusCode::INTERNAL_SERVER_ERROR, "cannot read the file");
        }
    };
    let mut response = (status, body).into_response();
    let told = response.headers_mut();
    told.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let mut tell = |name, value: String| HeaderValue::from_str(&value).map(|value| told.insert(name, value)).ok();
    tell(header::ETAG, etag);
    tell(header::LAST_MODIFIED, httpdate::fmt_http_date(modified));
    match selection {
        Selection::Part { first, last } => tell(header::CONTENT_RANGE, format!("bytes {first}-{last}/{length}")),
        Selection::Unsatisfiable => tell(header::CONTENT_RANGE, format!("bytes */{length}")),
        _ => None,
    };
    if sends {
        told.insert(header::CONTENT_LENGTH, HeaderValue::from(count));
        told.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    }
    response
}

/// A time of ours as the system has it.
pub(super) fn instant(time: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + time.since(Time(0))
}

/// What browsers and firmware take a file for, by its ending. EDK2 starts what is called `application/efi` and goes by
/// the name otherwise.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "efi" => "application/efi",
        "ipxe" | "txt" | "cfg" | "conf" | "log" | "preseed" | "ks" | "sh" | "pub" => "text/plain; charset=utf-8",
        "json" | "ign" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "xml" => "text/xml",
        "html" | "htm" => "text/html; charset=utf-8",
        "gz" | "tgz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// A body whose first piece is there already.
async fn open(held: Arc<Held>, first: u64, count: u64) -> std::io::Result<Body> {
    if count == 0 {
        return Ok(Body::empty());
    }
    let piece = cut(&held.piece(first / PIECE).await?, first, count);
    if piece.len() as u64 == count {
        return Ok(Body::from(piece));
    }
    Ok(Body::new(Pieces { held, next: first, left: count, coming: Coming::Here(piece) }))
}

/// Of the piece in which `first` lies, what is wanted.
fn cut(piece: &Bytes, first: u64, count: u64) -> Bytes {
    let skip = usize::try_from(first % PIECE).unwrap_or(usize::MAX).min(piece.len());
    let end = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(skip).min(piece.len());
    piece.slice(skip..end)
}

type Reading = Pin<Box<dyn Future<Output = std::io::Result<Bytes>> + Send>>;

/// Piece by piece, the next one fetched when the last one has been taken.
struct Pieces {
    held: Arc<Held>,
    /// Where the next piece begins.
    next: u64,
    /// Octets not given yet.
    left: u64,
    coming: Coming,
}

enum Coming {
    Here(Bytes),
    Reading(Reading),
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut self.coming {
            Coming::Here(piece) => piece.clone(),
            Coming::Reading(reading) => {
                let piece = ready!(reading.as_mut().poll(poller))?;
                cut(&piece, self.next, self.left)
            }
        };
        if piece.is_empty() {
            // The length was promised; less of it is an error, never an end.
            return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
        }
        self.next += piece.len() as u64;
        self.left -= piece.len() as u64;
        let (held, index) = (self.held.clone(), self.next / PIECE);
        self.coming = Coming::Reading(Box::pin(async move { held.piece(index).await }));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
