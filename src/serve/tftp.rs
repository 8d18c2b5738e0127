//! The TFTP server (RFC 1350, options of RFC 2347 to 2349 and 7440): read only, octet.
//!
//! async-tftp moves the blocks; what a name means is decided here, and for everything that belongs to a machine by
//! `plan::boot`. Opening a file must not wait for anybody (the library opens one file at a time), so a claim is made
//! when the first block is asked for.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_tftp::packet::Error as Refusal;
use async_tftp::server::{Handler, TftpServer, TftpServerBuilder};
use futures_util::io::Sink;
use tokio::sync::Semaphore;

use super::Context;

pub mod counters;
pub mod files;
mod reader;

pub use counters::TftpCounters;
use files::{Files, Found};
use reader::Reader;

/// Largest block: what fits an Ethernet frame (1500 - IP 20 - UDP 8 - TFTP 4). Larger blocks arrive in fragments, which
/// firmware often cannot put together.
const BLOCK: u16 = 1468;
/// Blocks under way at once (RFC 7440). All of them are kept in memory until acknowledged.
const WINDOW: u16 = 64;
/// Tries for one block, and the time between them: a machine that was switched off is forgotten after half a minute.
const TRIES: u32 = 10;
const RESEND: Duration = Duration::from_secs(3);
/// Transfers at once; a machine that is refused asks again.
const TRANSFERS: usize = 512;

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
    /// The library failed.
    #[error("the TFTP server failed: {0}")]
    Library(String),
}

/// A TFTP server whose socket is bound.
pub struct Server {
    inner: TftpServer<Reads>,
    local: SocketAddr,
    counters: Arc<TftpCounters>,
}

/// Binds `network.tftp`.
pub async fn bind(ctx: &Context) -> Result<Server, ServeError> {
    let network = &ctx.settings.network;
    let address = SocketAddrV4::new(network.listen, network.tftp_port);
    let fail = |source| ServeError::Bind { address, source };
    let socket = UdpSocket::bind(address).map_err(fail)?;
    let local = socket.local_addr().map_err(fail)?;
    let counters = Arc::new(TftpCounters::new("tftp_", counters::NAMES));
    let files = Files::new(ctx).await?;
    let reads =
        Reads { files, ctx: ctx.clone(), counters: counters.clone(), transfers: Arc::new(Semaphore::new(TRANSFERS)) };
    let builder = TftpServerBuilder::with_handler(reads)
        .timeout(RESEND)
        .block_size_limit(BLOCK)
        .window_size_limit(WINDOW)
        .max_send_retries(TRIES)
        .ignore_client_timeout()
        .std_socket(socket);
    let library = |error: async_tftp::Error| ServeError::Library(error.to_string());
    let inner = builder.map_err(library)?.build().await.map_err(library)?;
    Ok(Server { inner, local, counters })
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
        tokio::select! {
            () = ctx.inbox.0.closed() => {}
            ended = self.inner.serve() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "TFTP ended");
                }
            }
        }
    }
}

/// Answers read requests; refuses writes.
struct Reads {
    files: Files,
    ctx: Context,
    counters: Arc<TftpCounters>,
    transfers: Arc<Semaphore>,
}

impl Handler for Reads {
    type Reader = Reader;
    type Writer = Sink;

    async fn read_req_open(&mut self, client: &SocketAddr, path: &Path) -> Result<(Reader, Option<u64>), Refusal> {
        let Ok(permit) = self.transfers.clone().try_acquire_owned() else {
            self.counters.count("read", "busy");
            return Err(Refusal::Msg("too many transfers; try again".into()));
        };
        // The library takes only UTF-8 names.
        let name = path.to_str().unwrap_or_default();
        let found = self.files.find(&self.ctx, name, *client).await;
        tracing::debug!(%client, name, found = found.outcome(), "TFTP read");
        self.counters.count("read", found.outcome());
        match found {
            Found::Text(body) | Found::Own(body) => Ok(Reader::text(body, permit)),
            Found::Keys(body) => Ok(Reader::bytes(body, permit)),
            Found::Static(file, size) => Ok((Reader::file(file, permit), Some(size))),
            Found::Claim { mac, body } => Ok(Reader::claim(
                self.ctx.clone(),
                self.files.claims(),
                self.counters.clone(),
                mac,
                *client,
                body,
                permit,
            )),
            Found::Missing => Err(Refusal::FileNotFound),
            Found::Refused(why) => {
                tracing::info!(%client, name, why, "TFTP read refused");
                Err(Refusal::PermissionDenied)
            }
        }
    }

    async fn write_req_open(
        &mut self,
        _client: &SocketAddr,
        _path: &Path,
        _size: Option<u64>,
    ) -> Result<Sink, Refusal> {
        self.counters.count("write", "refused");
        Err(Refusal::PermissionDenied)
    }
}
