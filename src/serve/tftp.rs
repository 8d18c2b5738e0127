//! The TFTP server (RFC 1350, options of RFC 2347 to 2349 and 7440): read only, octet. An engine of our own.
//!
//! | module | |
//! |---|---|
//! | [`wire`] | packets; pure |
//! | [`options`] | what a client asks and what it gets; pure |
//! | [`transfer`] | one transfer's state machine; pure |
//! | [`files`] | what a name means; for everything that belongs to a machine, `plan::boot` decides |
//! | `source`, `claims` | where octets come from |
//! | `sender` | a transfer with its socket and its alarm |
//! | `transfers` | who is being served |
//! | `socket` | a transfer's socket |
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::{SocketAddr, SocketAddrV4};

use super::Context;

mod claims;
pub mod counters;
pub mod files;
pub mod options;
mod sender;
mod socket;
mod source;
pub mod transfer;
mod transfers;
pub mod wire;

use super::counters::Counters;
use super::udp::Listener;
use transfers::Transfers;

/// Open files that all transfers and the rest of the daemon need.
const OPEN_FILES: u64 = 8192;

/// Why the TFTP server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot serve TFTP on {address}")]
    Bind { address: SocketAddrV4, source: std::io::Error },
    #[error("cannot serve network.tftp.root {}", path.display())]
    Root { path: std::path::PathBuf, source: std::io::Error },
}

/// A TFTP server whose socket is bound.
pub struct Server {
    listener: Listener,
    counters: Counters,
}

/// Binds `network.tftp`.
#[allow(clippy::unused_async, reason = "the servers are bound alike; this one needs the runtime")]
pub async fn bind(ctx: &Context) -> Result<Server, ServeError> {
    let network = &ctx.settings.network;
    let address = SocketAddrV4::new(network.listen, network.tftp_port);
    ctx.library.check().map_err(|error| ServeError::Root { path: error.path, source: error.source })?;
    let listener = Listener::bind(address, None).map_err(|source| ServeError::Bind { address, source })?;
    socket::raise_file_limit(OPEN_FILES);
    Ok(Server { listener, counters: counters::new() })
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        SocketAddr::V4(self.listener.local())
    }

    /// What it counts.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Serves until the inbox closes, or the socket is lost.
    pub async fn run(self, ctx: Context) {
        let Server { listener, counters } = self;
        let mut transfers = Transfers::new(ctx.clone(), counters);
        let mut buffer = [0; wire::LONGEST_REQUEST];
        loop {
            tokio::select! {
                () = ctx.inbox.0.closed() => return,
                () = transfers.ended() => {}
                heard = listener.receive(&mut buffer) => match heard {
                    Ok(heard) => {
                        let packet = buffer.get(..heard.length).unwrap_or_default();
                        transfers.packet(packet, heard.from, heard.to.filter(|_| heard.unicast));
                    }
                    Err(error) => return tracing::error!(%error, "TFTP ended"),
                },
            }
        }
    }
}
