//! Hooks: their programs, run on the bootstrap host or over SSH on the targets, one target after the other.

use reqwest::Client;
use serde_json::Value;

use super::http::send;
use super::task::TaskRun;
use crate::model::{Fault, HookTask, Outcome, Secret};

/// Runs a hook for all that it is due for.
pub async fn run(client: &Client, hook: &HookTask, _run: &TaskRun<'_>) -> Result<Outcome, Fault> {
    let name = &hook.program.name;
    if name != "webhook" {
        return Err(Fault::operator("NotSupportedYet", format!("this version cannot run hooks of type {name}")));
    }
    let args: Value = serde_json::from_str(hook.args.reveal()).unwrap_or_default();
    let text = |key: &str| args.get(key).and_then(Value::as_str).unwrap_or_default();
    let method = text("action").to_ascii_uppercase();
    webhook(client, &Secret::new(text("uri")), &method, args.get("body").unwrap_or(&Value::Null)).await?;
    Ok(Outcome::TaskDone)
}

/// Sends `body` as JSON. 4xx is final (but for 408 and 429), everything else may pass.
pub async fn webhook(client: &Client, uri: &Secret, method: &str, body: &Value) -> Result<(), Fault> {
    send(client, "webhook", uri, method, body).await
}
