//! Commit statuses: one request of the forge's REST API. The token is in a header only.
//!
//! | forge | request | header | success |
//! |---|---|---|---|
//! | GitHub | `POST <api>/repos/<owner>/<name>/statuses/<sha>` | `Authorization: Bearer` | 201 |
//! | GitLab | `POST <api>/projects/<path, encoded>/statuses/<sha>` | `PRIVATE-TOKEN` | 201 |
//! | Gitea | `POST <api>/repos/<owner>/<name>/statuses/<sha>` | `Authorization: token` | 201 |

use std::path::Path;

use reqwest::Client;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::http::{Answer, get, post};
use super::private;
use crate::model::{ClusterName, CommitState, CommitStatus, Fault, Reason, Secret};
use crate::settings::{Forge, ForgeKind};

/// The context, and for each cluster the part before the slash.
const CONTEXT: &str = "rackwright";
/// Largest file with an address or a token.
const SECRET_LIMIT: u64 = 16 << 10;

/// Tells the forge how a revision stands.
pub async fn tell(
    client: &Client,
    forge: &Forge,
    cluster: Option<&ClusterName>,
    status: &CommitStatus,
) -> Result<(), Fault> {
    let token = secret_line(&forge.token_file, "commit_status.token_file")?;
    let context = cluster.map_or_else(|| CONTEXT.to_owned(), |cluster| format!("{CONTEXT}/{cluster}"));
    let address = format!("{}/statuses/{}", repository(forge), status.revision);
    let body = body(forge.kind, &context, status);
    let answer = post(client, "commit status", &address, headers(forge.kind, &token)?, &body).await?;
    judge(forge.kind, status.state, answer)
}

/// Looks whether the forge is there and the token may see the repository. Changes nothing.
pub async fn look(client: &Client, forge: &Forge) -> Result<(), Fault> {
    let token = secret_line(&forge.token_file, "commit_status.token_file")?;
    let answer = get(client, "commit status", &repository(forge), headers(forge.kind, &token)?).await?;
    advise(&answer)
}

fn repository(forge: &Forge) -> String {
    let Forge { api, repository, .. } = forge;
    match forge.kind {
        ForgeKind::Github | ForgeKind::Gitea => format!("{api}/repos/{repository}"),
        ForgeKind::Gitlab => format!("{api}/projects/{}", repository.replace('/', "%2F")),
    }
}

fn headers(kind: ForgeKind, token: &Secret) -> Result<HeaderMap, Fault> {
    let (name, value) = match kind {
        ForgeKind::Github => (AUTHORIZATION, format!("Bearer {}", token.reveal())),
        ForgeKind::Gitea => (AUTHORIZATION, format!("token {}", token.reveal())),
        ForgeKind::Gitlab => (HeaderName::from_static("private-token"), token.reveal().to_owned()),
    };
    let strange = |_| Fault::operator(Reason::TokenUnusable, "commit_status.token_file holds what no header can carry");
    let mut value = HeaderValue::from_str(&value).map_err(strange)?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::from_iter([(name, value)]);
    if kind == ForgeKind::Github {
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
    } else {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    }
    Ok(headers)
}

fn body(kind: ForgeKind, context: &str, status: &CommitStatus) -> Value {
    let state = match (kind, status.state) {
        (_, CommitState::Pending) => "pending",
        (_, CommitState::Success) => "success",
        (ForgeKind::Gitlab, CommitState::Failure) => "failed",
        (_, CommitState::Failure) => "failure",
    };
    match kind {
        ForgeKind::Gitlab => json!({ "state": state, "name": context, "description": status.description }),
        _ => json!({ "state": state, "context": context, "description": status.description }),
    }
}

fn judge(kind: ForgeKind, state: CommitState, answer: Answer) -> Result<(), Fault> {
    // GitLab has states and transitions, and none from `pending` to `pending`: it holds what it was to be told.
    let again = kind == ForgeKind::Gitlab && state == CommitState::Pending && answer.status == 400;
    if again && answer.body.contains("Cannot transition status via :enqueue") {
        return Ok(());
    }
    advise(&answer)
}

/// What a refusal is likely to come from.
fn advise(answer: &Answer) -> Result<(), Fault> {
    let Err(mut fault) = answer.judge("commit status") else { return Ok(()) };
    let advice = match answer.status.as_u16() {
        401 => "is the token in commit_status.token_file valid?",
        403 => "may the token write commit statuses?",
        404 => "are commit_status.api and .repository right, and may the token see that repository?",
        _ => return Err(fault),
    };
    fault.message = format!("{}; {advice}", fault.message);
    Err(fault)
}

/// The first line of a small file that holds a secret.
pub(crate) fn secret_line(path: &Path, key: &str) -> Result<Secret, Fault> {
    let unreadable =
        |why: String| Fault::operator(Reason::SecretUnreadable, format!("{key}: {}: {why}", path.display()));
    let (bytes, _) = private::read(path, SECRET_LIMIT).map_err(|error| unreadable(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable("it is not UTF-8 text".into()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(unreadable("its first line is empty".into())),
    }
}
