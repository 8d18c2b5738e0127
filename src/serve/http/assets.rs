//! `GET /assets/<path>`: the static root, with Range and validators; nothing outside of it, whatever links say.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as UrlPath, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

use super::{App, message};

/// Octets read from the disk at once; large pieces halve the CPU time of a kernel and initrd.
const CHUNK: usize = 1 << 20;

/// Answers GET and HEAD.
pub(super) async fn get(State(app): State<Arc<App>>, UrlPath(path): UrlPath<String>, request: Request) -> Response {
    let missing = || message(StatusCode::NOT_FOUND, "no such file");
    let Some(root) = &app.ctx.settings.network.tftp_root else { return missing() };
    let Some(file) = locate(root, &path).await else { return missing() };
    match ServeFile::new(file).with_buf_chunk_size(CHUNK).try_call(request).await {
        Ok(response) => response.into_response(),
        Err(error) => {
            tracing::warn!(%error, path, "cannot read a static file");
            message(StatusCode::INTERNAL_SERVER_ERROR, "cannot read the file")
        }
    }
}

/// The regular file that `path` names below `root`. Links are followed as long as they end below the root.
///
/// The root's own `boot.ipxe` and `host/` are not given: those that PVC's tools leave there install whoever reads them,
/// and `/boot/<mac>/…` is the one place where a machine is told what to boot.
async fn locate(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || path.is_empty() || path.ends_with('/') || path.contains(['\0', '\\']) {
        return None;
    }
    let root = tokio::fs::canonicalize(root).await.ok()?;
    let file = tokio::fs::canonicalize(root.join(relative)).await.ok()?;
    let regular = tokio::fs::metadata(&file).await.ok()?.is_file();
    let inside = file.strip_prefix(&root).ok()?;
    let decides = inside == Path::new("boot.ipxe") || inside.starts_with("host");
    (regular && !decides).then_some(file)
}
