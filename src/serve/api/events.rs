//! `GET /api/v1/events`: state changes as they happen (Server-Sent Events).
//!
//! A host's change is an `event: transition`; those of clusters, tasks and the repository are named `cluster`, `task` and
//! `repository`. Each one's id is its number; a client that comes back with `Last-Event-ID` gets
//! what it missed. When that is no longer known, it gets one `event: reset` and should look at everything anew.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::model::{Move, MoveKind, Moves, Stamp, World};
use crate::serve::http::{App, busy};

/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

/// Something to tell a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A change of state.
    Changed(Move),
    /// Changes up to this number were missed.
    Reset(u64),
}

/// What a listener that knows everything up to number `after` has to be told.
pub fn news(moves: &Moves, after: u64) -> Vec<News> {
    let oldest = moves.recent.front().map_or(moves.last + 1, |first| first.seq);
    if after > moves.last || after + 1 < oldest {
        // Its number was given by a daemon with another journal, or is too old.
        return vec![News::Reset(moves.last)];
    }
    moves.recent.iter().filter(|change| change.seq > after).cloned().map(News::Changed).collect()
}

impl News {
    fn seq(&self) -> u64 {
        match self {
            News::Changed(change) => change.seq,
            News::Reset(last) => *last,
        }
    }

    fn event(&self) -> Event {
        let (name, data) = match self {
            News::Changed(change) => (name(change.change.kind()), serde_json::json!(Transition::from(change))),
            News::Reset(last) => ("reset", serde_json::json!({ "seq": last })),
        };
        Event::default().event(name).id(self.seq().to_string()).retry(RETRY).data(data.to_string())
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Transition<'m> {
    seq: u64,
    at: Stamp,
    kind: MoveKind,
    /// `cluster/host`, `cluster`, `cluster/task` or `repository`.
    subject: &'m str,
    /// `new` where there was none before.
    from: &'m str,
    to: &'m str,
}

impl<'m> From<&'m Move> for Transition<'m> {
    fn from(it: &'m Move) -> Self {
        let (from, to) = it.change.words();
        Transition { seq: it.seq, at: it.at.into(), kind: it.change.kind(), subject: &it.subject, from, to }
    }
}

fn name(kind: MoveKind) -> &'static str {
    match kind {
        MoveKind::Host => "transition",
        other => other.as_str(),
    }
}

struct Feed {
    view: watch::Receiver<Arc<World>>,
    after: u64,
    queue: VecDeque<News>,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    fn look(&mut self) {
        let world = self.view.borrow_and_update().clone();
        self.queue.extend(news(&world.moves, self.after));
        self.after = self.queue.back().map_or(self.after, News::seq);
    }

    /// The next thing to tell; `None` when the daemon stops.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        while self.queue.is_empty() {
            self.view.changed().await.ok()?;
            self.look();
        }
        let event = self.queue.pop_front()?.event();
        Some((Ok(event), self))
    }
}

fn stream(feed: Feed) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(feed, Feed::next)
}

pub(super) async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let Ok(place) = app.listeners.clone().try_acquire_owned() else { return busy() };
    let known = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let view = app.ctx.view.clone();
    let after = known.unwrap_or_else(|| view.borrow().moves.last);
    let mut feed = Feed { view, after, queue: VecDeque::new(), _place: place };
    feed.look();
    let mut response = Sse::new(stream(feed)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
