//! Claim before wipe (law 8): how TFTP and HTTP hand a fresh token to an installer that reads its answer file.

use std::net::SocketAddr;

use crate::model::desired::TOKEN_MARK;
use crate::model::{Event, Mac, Token, Verdict};

use super::Context;

/// Why no token was handed out; then nothing of the answer file may leave either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The claim is not allowed, and why (HTTP 409, TFTP access violation).
    #[error("the claim is refused: {0}")]
    Refused(String),
    /// The loop did not take the claim in time; the client should try again (HTTP 503).
    #[error("the daemon is busy or stopping")]
    Busy,
    /// The operating system gives no random octets.
    #[error("no random octets to make a token of")]
    NoRandomness,
}

/// Makes a token.
pub fn mint() -> Result<Token, ClaimError> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|_| ClaimError::NoRandomness)?;
    Ok(Token::from_random(octets))
}

/// Claims for the machine with boot MAC `mac` with a token already made; returns once the claim is durable.
pub async fn record(ctx: &Context, mac: Mac, peer: SocketAddr, token: &Token) -> Result<(), ClaimError> {
    let event = Event::Claimed { mac, token: token.id(), peer };
    match ctx.inbox.tell(event).await {
        Ok(Verdict::Ok) => Ok(()),
        Ok(Verdict::Refused(why)) => Err(ClaimError::Refused(why)),
        Err(_) => Err(ClaimError::Busy),
    }
}

/// The body with every mark replaced by the token.
pub fn fill(body: &str, token: &Token) -> String {
    body.replace(TOKEN_MARK, token.reveal())
}

/// The whole claim: mints a token, waits until the claim is durable, and gives the body that carries the token.
pub async fn claim(ctx: &Context, mac: Mac, peer: SocketAddr, body: &str) -> Result<String, ClaimError> {
    let token = mint()?;
    record(ctx, mac, peer, &token).await?;
    Ok(fill(body, &token))
}
