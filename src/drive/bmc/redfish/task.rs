//! What a service does later: tasks (DSP0266, "Asynchronous operations"), and an iDRAC's jobs.

use serde_json::Value;

use super::collection::Walk;
use super::json::{link, links};
use super::progress::Progress;
use super::session::Session;
use crate::model::Fault;

/// Tasks that are looked at for one that is under way, the newest.
const TASKS: usize = 24;

/// Looks at a task, a job or a task monitor.
pub(super) async fn look(session: &Session, path: &str) -> Result<Progress, Fault> {
    let reply = session.look(path).await?;
    match Progress::of(reply.status, &reply.body) {
        Some(progress) => Ok(progress),
        None => session.accept(reply, path).map(|_| Progress::Over),
    }
}

/// A task that is at work right now, if there is one: something asked for before, whose answer was lost. What only waits
/// for a restart does not count.
pub(super) async fn at_work(session: &Session) -> Result<Option<String>, Fault> {
    let service = link(&session.root["Tasks"]).unwrap_or("/redfish/v1/TaskService");
    let service = session.get_if_any(Some(service)).await?;
    let busy = |body: &Value| matches!(body["TaskState"].as_str(), Some("Running" | "Starting" | "Stopping"));
    newest(session, link(&service["Tasks"]), busy).await
}

/// A job that carries out BIOS settings at the next restart, if there is one (iDRAC).
pub(super) async fn bios_job(session: &Session, jobs: &str) -> Result<Option<String>, Fault> {
    let waits =
        |body: &Value| body["JobType"] == "BIOSConfiguration" && Progress::state(body) == Some(Progress::Running);
    newest(session, Some(jobs), waits).await
}

/// The first of the newest members of a list that is meant.
async fn newest(
    session: &Session,
    list: Option<&str>,
    meant: impl Fn(&Value) -> bool,
) -> Result<Option<String>, Fault> {
    let mut paths = links(&session.get_if_any(list).await?["Members"]);
    paths.drain(..paths.len().saturating_sub(TASKS));
    let members = Walk::new(session).each(paths).await?;
    Ok(members.into_iter().find(|(_, body)| meant(body)).map(|(path, _)| path))
}
