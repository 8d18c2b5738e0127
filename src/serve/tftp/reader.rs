//! What is sent: octets in memory, a file, or the outcome of a claim that is made at the first read.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};

use futures_util::io::AsyncRead;
use tokio::fs::File;
use tokio::io::{AsyncRead as TokioRead, BufReader, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::counters::TftpCounters;
use super::files::Claims;
use crate::model::Mac;
use crate::model::desired::TOKEN_MARK;
use crate::serve::Context;
use crate::serve::claim::{self, ClaimError};

/// Files are read in large pieces: a hop to the blocking pool for each block would cost more than the block.
const PIECE: usize = 256 * 1024;
/// Length of a token's text.
const TOKEN: usize = 32;

type Coming = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send>>;

/// One transfer's source. Holds its place among the transfers until it is dropped.
pub struct Reader {
    source: Source,
    _permit: OwnedSemaphorePermit,
}

enum Source {
    Bytes(io::Cursor<Vec<u8>>),
    File(Box<BufReader<File>>),
    Coming(Coming),
}

impl Reader {
    /// Text, and its size.
    pub fn text(body: String, permit: OwnedSemaphorePermit) -> (Self, Option<u64>) {
        Reader::bytes(body.into_bytes(), permit)
    }

    /// Octets, and their number.
    pub fn bytes(body: Vec<u8>, permit: OwnedSemaphorePermit) -> (Self, Option<u64>) {
        let size = body.len() as u64;
        (Reader { source: Source::Bytes(io::Cursor::new(body)), _permit: permit }, Some(size))
    }

    /// An open file.
    pub fn file(file: File, permit: OwnedSemaphorePermit) -> Self {
        Reader { source: Source::File(Box::new(BufReader::with_capacity(PIECE, file))), _permit: permit }
    }

    /// An answer file whose first read is the claim, and its size with the token in it.
    pub fn claim(
        ctx: Context,
        claims: Arc<Claims>,
        counters: Arc<TftpCounters>,
        mac: Mac,
        peer: SocketAddr,
        body: Arc<str>,
        permit: OwnedSemaphorePermit,
    ) -> (Self, Option<u64>) {
        let marks = body.matches(TOKEN_MARK).count();
        let size = body.len() - marks * TOKEN_MARK.len() + marks * TOKEN;
        let coming = Box::pin(async move {
            let outcome = make(&ctx, &claims, mac, peer, &body).await;
            let word = match &outcome {
                Ok((_, false)) => "granted",
                Ok((_, true)) => "repeated",
                Err(ClaimError::Refused(_)) => "refused",
                Err(ClaimError::Busy | ClaimError::NoRandomness) => "busy",
            };
            counters.count("claim", word);
            outcome.map(|(body, _)| body.into_bytes()).map_err(|error| {
                tracing::info!(%mac, %peer, %error, "TFTP claim not granted");
                match error {
                    ClaimError::Refused(_) => io::ErrorKind::PermissionDenied.into(),
                    ClaimError::Busy | ClaimError::NoRandomness => io::ErrorKind::Other.into(),
                }
            })
        });
        (Reader { source: Source::Coming(coming), _permit: permit }, Some(size as u64))
    }
}

/// The filled body, and whether the token is one given before to the same request.
async fn make(
    ctx: &Context,
    claims: &Claims,
    mac: Mac,
    peer: SocketAddr,
    body: &str,
) -> Result<(String, bool), ClaimError> {
    if let Some(token) = claims.recall(peer, mac, ctx.now()) {
        return Ok((claim::fill(body, &token), true));
    }
    let token = claim::mint()?;
    claim::record(ctx, mac, peer, &token).await?;
    claims.remember(peer, mac, &token, ctx.now());
    Ok((claim::fill(body, &token), false))
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, poller: &mut Poller<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Source::Coming(coming) = &mut self.source {
            let body = ready!(coming.as_mut().poll(poller))?;
            self.source = Source::Bytes(io::Cursor::new(body));
        }
        match &mut self.source {
            Source::Bytes(bytes) => Poll::Ready(io::Read::read(bytes, buffer)),
            Source::File(file) => {
                let mut target = ReadBuf::new(buffer);
                ready!(Pin::new(file).poll_read(poller, &mut target))?;
                Poll::Ready(Ok(target.filled().len()))
            }
            // Replaced above.
            Source::Coming(_) => Poll::Ready(Err(io::ErrorKind::Other.into())),
        }
    }
}
