//! How far a task, a job or a task monitor is (DSP0266, "Asynchronous operations"; an iDRAC's jobs, and DMTF's Job).

use reqwest::StatusCode;
use serde_json::Value;

use super::super::text::clip;
use super::error::ErrorBody;
use super::json::array;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Running,
    /// Ended well, or no longer known: what came of it is read back in any case.
    Over,
    /// Ended without effect, and what it says about that.
    Failed(String),
}

/// Messages of a task that are shown.
const MESSAGES: usize = 3;

impl Progress {
    /// What an answer tells of it; nothing where it is none of a task.
    pub(super) fn of(status: StatusCode, body: &Value) -> Option<Progress> {
        match status.as_u16() {
            // A monitor is gone once its answer was fetched.
            404 | 410 => Some(Progress::Over),
            202 => Progress::state(body).or(Some(Progress::Running)),
            200..=299 => Progress::state(body).or(Some(Progress::Over)),
            // A monitor answers in the end as the request would have been: also with its refusal.
            400 | 405 | 409 | 422 | 500 if body["error"].is_object() => {
                Some(Progress::Failed(ErrorBody::of(body).text))
            }
            _ => None,
        }
    }

    /// The state that a body tells: `TaskState` (Task 1.x), `JobState` (Job 1.x, and iDRACs with words of their own).
    pub(super) fn state(body: &Value) -> Option<Progress> {
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
}

fn said(body: &Value) -> String {
    let list = array(&body["Messages"]);
    let told = list.iter().filter_map(|message| message["Message"].as_str().or_else(|| message["MessageId"].as_str()));
    let told: Vec<_> = told.chain(body["Message"].as_str()).filter(|text| !text.is_empty()).take(MESSAGES).collect();
    if told.is_empty() { "it says nothing about why".to_owned() } else { clip(&told.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states_of_tasks_and_jobs_are_told_apart() {
        for state in ["New", "Running", "Pending", "Suspended", "Service", "Stopping"] {
            assert_eq!(Progress::state(&json!({ "TaskState": state })), Some(Progress::Running), "{state}");
        }
        for state in ["New", "Scheduled", "Downloading", "ReadyForExecution", "Waiting", "PendingActivation"] {
            assert_eq!(Progress::state(&json!({ "JobState": state })), Some(Progress::Running), "{state}");
        }
        assert_eq!(Progress::state(&json!({ "TaskState": "Completed", "TaskStatus": "OK" })), Some(Progress::Over));
        let failed = json!({ "TaskState": "Exception", "Messages": [{ "Message": "one" }, { "MessageId": "two" }] });
        assert_eq!(Progress::state(&failed), Some(Progress::Failed("one; two".into())));
        let job = json!({ "JobState": "Failed", "Message": "Job failed." });
        assert_eq!(Progress::state(&job), Some(Progress::Failed("Job failed.".into())));
        assert_eq!(
            Progress::state(&json!({ "TaskState": "Completed", "TaskStatus": "Critical" })),
            Some(Progress::Failed("it says nothing about why".into()))
        );
        assert_eq!(
            Progress::state(&json!({ "@odata.id": "/redfish/v1/Systems/1/Storage/1/Volumes/1" })),
            None,
            "what a monitor gives in the end"
        );
    }
}
