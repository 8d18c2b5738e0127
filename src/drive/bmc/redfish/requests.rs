//! Requests of a session: what is needed, what may be absent, conditional changes, and the small tasks that they become.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::super::text::clip;
use super::error::ErrorBody;
use super::progress::Progress;
use super::session::{Reply, Session};
use crate::model::{Fault, Reason};

/// Looks at a task that a service makes of a small change (DSP0266, "Asynchronous operations"), before it is left alone.
const TASK_LOOKS: u32 = 5;

impl Session {
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Fault> {
        self.accept_json(self.look(path).await?, path)
    }

    /// GET of something that may be absent or forbidden: null then.
    pub(super) async fn get_if_any(&self, path: Option<&str>) -> Result<Value, Fault> {
        let Some(path) = path else { return Ok(Value::Null) };
        self.if_any(self.look(path).await?, path)
    }

    /// GET of something that may be absent: null then. That it is forbidden is no reason to do without it.
    pub(super) async fn get_unless_absent(&self, path: Option<&str>) -> Result<Value, Fault> {
        let Some(path) = path else { return Ok(Value::Null) };
        let reply = self.look(path).await?;
        match reply.status {
            StatusCode::FORBIDDEN => self.accept_json(reply, path).map(|reply| reply.body),
            _ => self.if_any(reply, path),
        }
    }

    /// GET, whatever the status.
    pub(super) async fn look(&self, path: &str) -> Result<Reply, Fault> {
        Ok(self.exchange(self.signed(Method::GET, path, None)?).await?.0)
    }

    /// What is there, or null where it is absent or forbidden.
    pub(super) fn if_any(&self, reply: Reply, path: &str) -> Result<Value, Fault> {
        if reply.status.is_client_error() && !matches!(reply.status.as_u16(), 401 | 408 | 423 | 425 | 429) {
            return Ok(Value::Null);
        }
        self.accept_json(reply, path).map(|reply| reply.body)
    }

    /// POST of an action. A task that it becomes is followed for a moment.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Reply, Fault> {
        let (reply, _) = self.exchange(self.signed(Method::POST, path, Some(body))?).await?;
        let reply = self.accept(reply, path)?;
        self.follow(&reply).await?;
        Ok(reply)
    }

    /// POST of something new. Gives the refusal when it was refused for what it asked, as [`Session::patch`] does; a task
    /// that it becomes is not followed: its monitor is the reply's `location`.
    pub(super) async fn post_reply(&self, path: &str, body: &Value) -> Result<Result<Reply, Fault>, Fault> {
        let (reply, _) = self.exchange(self.signed(Method::POST, path, Some(body))?).await?;
        self.accept_or_refusal(reply, path)
    }

    /// PATCH, conditional where the service gave an ETag; a task that it becomes is followed for a moment. Gives the
    /// refusal when it was refused for what it asked (400, 404, 405, 501), so that the caller may ask for less.
    pub(super) async fn patch(&self, path: &str, etag: Option<&str>, body: &Value) -> Result<Option<Fault>, Fault> {
        match self.patch_reply(path, etag, body).await? {
            Ok(reply) => self.follow(&reply).await.map(|()| None),
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    /// The same without following a task: its monitor is the reply's `location`.
    ///
    /// Some services give weak ETags and take strong ones only, some demand a condition and give no ETag, some quote it
    /// twice in the header; `*` is what remains (RFC 9110 section 13.1.1). Seen on ThinkSystem SR655 (stmcginnis/gofish
    /// #171, 428 without a condition), Gigabyte (ansible-collections/community.general #6434, weak given and strong
    /// taken) and in #3268 of the same (412 to the very ETag that was given).
    pub(super) async fn patch_reply(
        &self,
        path: &str,
        etag: Option<&str>,
        body: &Value,
    ) -> Result<Result<Reply, Fault>, Fault> {
        let strong = etag.and_then(|etag| etag.strip_prefix("W/"));
        let mut forms: Vec<Option<&str>> = vec![etag];
        forms.extend(strong.map(Some));
        forms.push(Some("*"));
        let last = forms.len() - 1;
        for (index, form) in forms.into_iter().enumerate() {
            let mut request = self.signed(Method::PATCH, path, Some(body))?;
            request.headers.extend(form.map(|etag| ("if-match", etag.to_owned())));
            let (reply, _) = self.exchange(request).await?;
            if index == last || !matches!(reply.status.as_u16(), 412 | 428) {
                return self.accept_or_refusal(reply, path);
            }
        }
        Err(self.transient(Reason::BmcBusy, format!("{} changes faster than it can be written", clip(path))))
    }

    /// A good answer, or the refusal of what was asked for, which asking for less may avoid.
    fn accept_or_refusal(&self, reply: Reply, path: &str) -> Result<Result<Reply, Fault>, Fault> {
        let said = ErrorBody::of(&reply.body);
        match reply.status.as_u16() {
            400 | 404 | 405 | 501 if !said.later() => Ok(Err(self.refused(reply.status, path, &said.text))),
            _ => self.accept(reply, path).map(Ok),
        }
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Reply, Fault> {
        let (reply, _) = self.exchange(self.signed(Method::DELETE, path, None)?).await?;
        self.accept(reply, path)
    }

    /// Follows the task that a 202 names for a moment: most are over in a second, and what was asked for is read back
    /// in any case. One that failed is a fault.
    async fn follow(&self, reply: &Reply) -> Result<(), Fault> {
        let (StatusCode::ACCEPTED, Some(monitor)) = (reply.status, &reply.location) else { return Ok(()) };
        for _ in 0..TASK_LOOKS {
            let look = self.look(monitor).await?;
            match Progress::of(look.status, &look.body) {
                Some(Progress::Running) => tokio::time::sleep(self.timeouts().poll).await,
                Some(Progress::Failed(why)) => {
                    let message = format!("the task {} failed: {why}", clip(monitor));
                    return Err(self.transient(Reason::BmcTaskFailed, message));
                }
                None if look.status == StatusCode::UNAUTHORIZED => return self.accept(look, monitor).map(drop),
                // Over, or nothing that can be followed.
                Some(Progress::Over) | None => return Ok(()),
            }
        }
        Ok(())
    }
}
