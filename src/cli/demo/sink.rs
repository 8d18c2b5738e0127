//! Where the demo's hooks and notifications arrive: it says 200 to everything.
#![allow(missing_docs, reason = "the names say the rest")]

use std::io;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::stage::{Stage, port};

pub(super) struct Sink(JoinSet<()>);

#[allow(clippy::disallowed_methods, reason = "the JoinSet is the sink's own")]
pub(super) async fn start(stage: &Stage) -> io::Result<Sink> {
    let listener = TcpListener::bind((stage.sink(), port::SINK)).await?;
    let router = axum::Router::new().fallback(async || "thank you");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "the demo's sink ended");
        }
    });
    Ok(Sink(tasks))
}

impl Sink {
    /// Stops it.
    pub(super) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}
