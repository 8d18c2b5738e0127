//! Collections (DSP0266, "Resource collection responses"), read with moderation: BMCs freeze after bursts of requests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::json::{MEMBERS, links, once};
use super::session::Session;
use crate::model::Fault;

/// Requests in flight at once.
const TOGETHER: usize = 3;
/// Pages of a collection that are read.
const PAGES: usize = 8;
/// Requests for one inventory, however much hardware there is.
const REQUESTS: usize = 200;

/// A walk through a service: so many requests, and no more.
pub(super) struct Walk<'s> {
    session: &'s Session,
    left: AtomicUsize,
    incomplete: AtomicBool,
}

impl<'s> Walk<'s> {
    pub(super) fn new(session: &'s Session) -> Self {
        Walk { session, left: AtomicUsize::new(REQUESTS), incomplete: AtomicBool::new(false) }
    }

    pub(super) fn incomplete(&self) -> bool {
        self.incomplete.load(Ordering::Relaxed)
    }

    fn pass_over(&self) {
        self.incomplete.store(true, Ordering::Relaxed);
    }

    /// What is there, or null.
    ///
    /// Some services answer 500 for a part of them that they cannot read, today and tomorrow: that is passed over.
    pub(super) async fn get(&self, path: Option<&str>) -> Result<Value, Fault> {
        let Some(path) = path else { return Ok(Value::Null) };
        let less = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            self.pass_over();
            return Ok(Value::Null);
        }
        let reply = self.session.look(path).await?;
        if matches!(reply.status.as_u16(), 500 | 501) {
            self.pass_over();
            return Ok(Value::Null);
        }
        self.session.if_any(reply, path)
    }

    /// Paths of a collection's members, each once, in their order: all pages (`Members@odata.nextLink`).
    pub(super) async fn members(&self, path: Option<&str>) -> Result<Vec<String>, Fault> {
        self.members_from(self.get(path).await?).await
    }

    /// The same, from a collection's first page on.
    pub(super) async fn members_from(&self, mut page: Value) -> Result<Vec<String>, Fault> {
        let mut paths = links(&page["Members"]);
        for _ in 1..PAGES {
            let Some(next) = page["Members@odata.nextLink"].as_str().filter(|_| paths.len() < MEMBERS) else { break };
            page = self.get(Some(next)).await?;
            paths.extend(links(&page["Members"]));
        }
        if page["Members@odata.nextLink"].is_string() || paths.len() > MEMBERS {
            self.pass_over();
        }
        Ok(once(paths))
    }

    /// What is at these paths, in their order; what is not there is left out.
    pub(super) async fn each(&self, paths: Vec<String>) -> Result<Vec<(String, Value)>, Fault> {
        let bodies = stream::iter(paths).map(|path| async move {
            let body = self.get(Some(&path)).await?;
            Ok::<_, Fault>((path, body))
        });
        let mut bodies: Vec<(String, Value)> = bodies.buffered(TOGETHER).try_collect().await?;
        bodies.retain(|(_, body)| body.is_object());
        Ok(bodies)
    }

    pub(super) async fn all(&self, path: Option<&str>) -> Result<Vec<(String, Value)>, Fault> {
        let paths = self.members(path).await?;
        self.each(paths).await
    }
}
