//! What a service does later: tasks (DSP0266, "Asynchronous operations"), and jobs (an iDRAC's, and DMTF's Job).

use serde_json::Value;

use super::collection::{Walk, links};
use super::fault::clip;
use super::link;
use super::session::Session;
use crate::model::Fault;

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not ended.
    Running,
    /// Ended well, or no longer known: what came of it is read back in any case.
    Over,
    /// Ended without effect, and what it says about that.
    Failed(String),
}

/// Messages of a task that are shown.
const MESSAGES: usize = 3;
/// Tasks that are looked at for one that is under way, the newest.
const TASKS: usize = 24;

/// Looks at a task, a job or a task monitor.
pub(super) async fn look(session: &Session, path: &str) -> Result<Progress, Fault> {
    let reply = session.look(path).await?;
    match reply.status.as_u16() {
        // A monitor is gone once its answer was fetched.
        404 | 410 => Ok(Progress::Over),
        202 => Ok(of(&reply.body).unwrap_or(Progress::Running)),
        200..=299 => Ok(of(&reply.body).unwrap_or(Progress::Over)),
        // A monitor answers in the end as the request would have been (DSP0266): also with its refusal.
        400 | 405 | 409 | 422 | 500 if reply.body["error"].is_object() => {
            Ok(Progress::Failed(super::fault::said(&reply.body).text))
        }
        _ => session.accept(reply, path).map(|_| Progress::Over),
    }
}

/// The state that a body tells: `TaskState` (Task 1.x), `JobState` (Job 1.x, and iDRACs with words of their own).
fn of(body: &Value) -> Option<Progress> {
    let state = body["TaskState"].as_str().or_else(|| body["JobState"].as_str())?;
    let critical = body["TaskStatus"] == "Critical";
    Some(match state {
        "Completed" if critical => Progress::Failed(said(body)),
        "Completed" => Progress::Over,
        "Exception"
        | "Killed"
        | "Cancelled"
        | "Interrupted"
        | "Failed"
        | "CompletedWithErrors"
        | "RebootFailed"
        | "Invalid"
        | "Paused" => Progress::Failed(said(body)),
        _ => Progress::Running,
    })
}

/// What a task has to say.
fn said(body: &Value) -> String {
    let list = body["Messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = list.iter().filter_map(|message| message["Message"].as_str().or_else(|| message["MessageId"].as_str()));
    let told: Vec<_> = told.chain(body["Message"].as_str()).filter(|text| !text.is_empty()).take(MESSAGES).collect();
    if told.is_empty() { "it says nothing about why".to_owned() } else { clip(&told.join("; ")) }
}

/// A task that is at work right now, if there is one: something asked for before, whose answer was lost. What only waits
/// for a restart does not count.
pub(super) async fn at_work(session: &Session) -> Result<Option<String>, Fault> {
    let service = link(&session.root["Tasks"]).unwrap_or("/redfish/v1/TaskService");
    let service = session.get_if_any(Some(service)).await?;
    let list = session.get_if_any(link(&service["Tasks"])).await?;
    let mut paths = links(&list["Members"]);
    paths.drain(..paths.len().saturating_sub(TASKS));
    let tasks = Walk::new(session).each(paths).await?;
    let busy = |body: &Value| matches!(body["TaskState"].as_str(), Some("Running" | "Starting" | "Stopping"));
    Ok(tasks.into_iter().find(|(_, body)| busy(body)).map(|(path, _)| path))
}

/// A job that carries out BIOS settings at the next restart, if there is one (iDRAC).
pub(super) async fn bios_job(session: &Session, jobs: &str) -> Result<Option<String>, Fault> {
    let list = session.get_if_any(Some(jobs)).await?;
    let mut paths = links(&list["Members"]);
    paths.drain(..paths.len().saturating_sub(TASKS));
    let jobs = Walk::new(session).each(paths).await?;
    let waits = |body: &Value| body["JobType"] == "BIOSConfiguration" && of(body) == Some(Progress::Running);
    Ok(jobs.into_iter().find(|(_, body)| waits(body)).map(|(path, _)| path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_of_tasks_and_jobs_are_told_apart() {
        for state in ["New", "Running", "Pending", "Suspended", "Service", "Stopping"] {
            assert_eq!(of(&json!({ "TaskState": state })), Some(Progress::Running), "{state}");
        }
        for state in ["New", "Scheduled", "Downloading", "ReadyForExecution", "Waiting", "PendingActivation"] {
            assert_eq!(of(&json!({ "JobState": state })), Some(Progress::Running), "{state}");
        }
        assert_eq!(of(&json!({ "TaskState": "Completed", "TaskStatus": "OK" })), Some(Progress::Over));
        let failed = json!({ "TaskState": "Exception", "Messages": [{ "Message": "one" }, { "MessageId": "two" }] });
        assert_eq!(of(&failed), Some(Progress::Failed("one; two".into())));
        let job = json!({ "JobState": "Failed", "Message": "Job failed." });
        assert_eq!(of(&job), Some(Progress::Failed("Job failed.".into())));
        assert_eq!(
            of(&json!({ "TaskState": "Completed", "TaskStatus": "Critical" })),
            Some(Progress::Failed("it says nothing about why".into()))
        );
        assert_eq!(
            of(&json!({ "@odata.id": "/redfish/v1/Systems/1/Storage/1/Volumes/1" })),
            None,
            "what a monitor gives in the end"
        );
    }
}
