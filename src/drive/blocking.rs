//! Work that waits for the disk or for much computing, away from the runtime's threads.

use crate::model::{Fault, Reason};

/// Does it. Fails only when the work panics, or when the runtime is shutting down: the fault says that `what` was not
/// finished.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Fault::transient(Reason::DriverFailed, format!("{what} was not finished")))
}
