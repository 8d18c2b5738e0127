//! The TFTP server (RFC 1350, options of RFC 2347 to 2349 and 7440): read only, octet. An engine of our own.
//!
//! | module | |
//! |---|---|
//! | [`wire`] | packets; pure |
//! | [`options`] | what a client asks and what it gets; pure |
//! | [`transfer`] | one transfer's machine; pure |
//! | [`files`] | what a name means; for everything that belongs to a machine, `plan::boot` decides |
//! | `source`, `claims` | where octets come from |
//! | `session` | a machine with its socket and its alarm |
//! | `desk` | who is being served |
//! | `socket` | sockets that answer from the address that was asked |

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use super::Context;

mod claims;
pub mod counters;
mod desk;
pub mod files;
pub mod options;
mod session;
mod socket;
mod source;
pub mod transfer;
pub mod wire;

pub use counters::TftpCounters;
use desk::Desk;
use socket::Listener;

/// Open files that a full desk and the rest of the daemon need.
const OPEN_FILES: u64 = 8192;

/// Why the TFTP server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port cannot be bound.
    #[error("cannot serve TFTP on {address}")]
    Bind {
        /// The address wanted.
        address: SocketAddrV4,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `network.tftp.root` cannot be served.
    #[error("cannot serve network.tftp.root {}", path.display())]
    Root {
        /// The directory.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A TFTP server whose socket is bound.
pub struct Server {
    listener: Listener,
    local: SocketAddr,
    counters: Arc<TftpCounters>,
}

/// Binds `network.tftp`.
#[allow(clippy::unused_async, reason = "the servers are bound alike; this one needs the runtime")]
pub async fn bind(ctx: &Context) -> Result<Server, ServeError> {
    let network = &ctx.settings.network;
    let address = SocketAddrV4::new(network.listen, network.tftp_port);
    ctx.library.check().map_err(|error| ServeError::Root { path: error.path, source: error.source })?;
    let fail = |source| ServeError::Bind { address, source };
    let listener = Listener::bind(address).map_err(fail)?;
    let local = listener.local_addr().map_err(fail)?;
    socket::raise_file_limit(OPEN_FILES);
    Ok(Server { listener, local, counters: Arc::new(TftpCounters::new("tftp_", counters::NAMES)) })
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<TftpCounters> {
        self.counters.clone()
    }

    /// Serves until the inbox closes, or the socket is lost.
    pub async fn run(self, ctx: Context) {
        let Server { mut listener, counters, .. } = self;
        let mut desk = Desk::new(ctx.clone(), counters);
        let mut buffer = [0; wire::LONGEST_REQUEST];
        loop {
            tokio::select! {
                () = ctx.inbox.0.closed() => return,
                () = desk.ended() => {}
                heard = listener.receive(&mut buffer) => match heard {
                    Ok(heard) => {
                        desk.packet(buffer.get(..heard.length).unwrap_or_default(), heard.client, heard.asked);
                    }
                    Err(error) => return tracing::error!(%error, "TFTP ended"),
                },
            }
        }
    }
}
