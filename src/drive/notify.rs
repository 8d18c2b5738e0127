//! Notifications: PVC's block, one HTTP request for each message.

use reqwest::Client;
use serde_json::Value;

use super::forge::secret_line;
use super::http::send;
use crate::model::{Fault, Notice, NoticeKind, Secret};
use crate::settings::{Notifications, Uri};

/// Sends the messages one after the other; stops at the first that fails.
pub async fn notify(client: &Client, to: &Notifications, notices: &[Notice]) -> Result<(), Fault> {
    if notices.is_empty() {
        return Ok(());
    }
    let uri = uri(to)?;
    for notice in notices {
        send(client, &format!("notification of {}", to.receiver.name), &uri, &to.method, &body(to, notice)).await?;
    }
    Ok(())
}

fn uri(to: &Notifications) -> Result<Secret, Fault> {
    match &to.uri {
        Uri::Given(uri) => Ok(uri.clone()),
        Uri::File(path) => secret_line(path, "notifications.uri_file"),
    }
}

fn body(to: &Notifications, notice: &Notice) -> Value {
    let icon = to.icons.get(notice.kind.as_str()).map_or("", String::as_str);
    let trigger = match notice.kind {
        NoticeKind::Completed => to.completed_triggerword.trim(),
        _ => "",
    };
    let message = if trigger.is_empty() { notice.message.clone() } else { format!("{} {trigger}", notice.message) };
    fill(&to.body, icon, &message)
}

/// Replaces the marks in every string value, at any depth; keys stay as they are.
fn fill(template: &Value, icon: &str, message: &str) -> Value {
    match template {
        Value::String(text) => Value::String(fill_text(text, icon, message)),
        Value::Array(items) => items.iter().map(|item| fill(item, icon, message)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), fill(value, icon, message))).collect(),
        other => other.clone(),
    }
}

/// One pass from left to right, so that marks inside a message stay text.
fn fill_text(text: &str, icon: &str, message: &str) -> String {
    let mut filled = String::with_capacity(text.len() + message.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let marks = [("{icon}", icon), ("{message}", message)];
        match marks.iter().find_map(|(mark, value)| Some((from.strip_prefix(mark)?, value))) {
            Some((after, value)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled + rest
}
