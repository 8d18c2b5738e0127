//! Hook type `webhook`: one HTTP request from the bootstrap host.

use reqwest::Client;
use serde_json::Value;

use super::http::send;
use crate::model::{Fault, Secret};

/// Sends `body` as JSON. 4xx is final (but for 408 and 429), everything else may pass.
pub async fn webhook(client: &Client, uri: &Secret, method: &str, body: &Value) -> Result<(), Fault> {
    send(client, "webhook", uri, method, body).await
}
