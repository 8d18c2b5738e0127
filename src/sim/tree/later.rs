//! The task service, and an iDRAC's jobs.

use serde_json::{Value, json};

use super::{collection, link};
use crate::sim::bmc::Bmc;

/// What is at one of the paths of tasks and jobs.
pub(super) fn resource(bmc: &Bmc, path: &str) -> Option<Value> {
    if path == "/redfish/v1/TaskService" {
        let tasks = link("/redfish/v1/TaskService/Tasks");
        return Some(json!({ "Id": "TaskService", "Name": "Tasks", "ServiceEnabled": true, "Tasks": tasks }));
    }
    if let Some(rest) = path.strip_prefix("/redfish/v1/TaskService/Tasks") {
        return match rest.strip_prefix('/') {
            None => Some(collection(bmc.tasks().map(|task| format!("{path}/{}", task.id)))),
            Some(id) => bmc.tasks().find(|task| task.id == id).map(|task| task.body(path)),
        };
    }
    let rest = path.strip_prefix(bmc.config().vendor.jobs()?)?;
    match rest.strip_prefix('/') {
        None => Some(collection(bmc.tasks().map(|task| format!("{path}/{}", task.id)))),
        Some(id) => bmc.tasks().find(|task| task.id == id).map(|task| task.job(path)),
    }
}
