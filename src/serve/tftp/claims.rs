//! Claims over TFTP: the first block that is wanted of an answer file is its claim (law 8).
//!
//! A client that asks for the size and goes away, or whose request never gets further than the OACK, claims nothing. One
//! that goes away while its claim is on its way to the journal leaves a claim whose token nobody has; its next request
//! makes another, and only the newest counts.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::source::Unavailable;
use super::wire::code;
use crate::model::{Mac, Time, Token};
use crate::serve::Context;
use crate::serve::claim::{self, ClaimError};
use crate::serve::counters::Counters;

/// Makes the claim of one transfer.
#[derive(Clone)]
pub struct Claimer {
    pub ctx: Context,
    /// Those of the last seconds.
    pub claims: Arc<Claims>,
    pub counters: Counters,
    /// The boot MAC it is for.
    pub mac: Mac,
    pub client: SocketAddr,
    /// The answer file, with marks.
    pub body: Arc<str>,
}

impl Claimer {
    /// The answer file with the token, once the claim is durable.
    pub async fn claim(&self) -> Result<Bytes, Unavailable> {
        let outcome = self.make().await;
        self.counters.count(
            "claim",
            match &outcome {
                Ok((_, false)) => "granted",
                Ok((_, true)) => "repeated",
                Err(ClaimError::Refused(_)) => "refused",
                Err(ClaimError::Busy | ClaimError::NoRandomness) => "busy",
            },
        );
        match outcome {
            Ok((body, _)) => Ok(Bytes::from(body)),
            Err(error) => {
                tracing::info!(mac = %self.mac, client = %self.client, %error, "TFTP claim not granted");
                let refused = matches!(error, ClaimError::Refused(_));
                let code = if refused { code::DENIED } else { code::OTHER };
                Err(Unavailable { code, message: error.to_string() })
            }
        }
    }

    /// The filled body, and whether the token is one given before to the same request.
    async fn make(&self) -> Result<(String, bool), ClaimError> {
        let Claimer { ctx, claims, mac, client, body, .. } = self;
        if let Some(token) = claims.recall(*client, *mac, ctx.now()) {
            return Ok((claim::fill(body, &token), true));
        }
        let token = claim::mint()?;
        claim::record(ctx, *mac, *client, &token).await?;
        claims.remember(*client, *mac, &token, ctx.now());
        Ok((claim::fill(body, &token), false))
    }
}

/// Claims of the last seconds: a request that is sent again because its answer was lost is not a second claim.
#[derive(Debug, Default)]
pub struct Claims(Mutex<VecDeque<(SocketAddr, Mac, Token, Time)>>);

impl Claims {
    /// How long the same client address and port mean the same request. A machine that starts over takes longer, or
    /// comes from another port.
    const KEPT_FOR: Duration = Duration::from_secs(30);
    const MOST: usize = 1024;

    /// The token this client was given for this machine a moment ago.
    pub fn recall(&self, peer: SocketAddr, mac: Mac, now: Time) -> Option<Token> {
        let claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = claims.iter().rev().find(|(_, whose, ..)| *whose == mac)?;
        let (who, _, token, at) = newest;
        (*who == peer && now.since(*at) < Self::KEPT_FOR).then(|| token.clone())
    }

    /// Remembers a token that was granted.
    pub fn remember(&self, peer: SocketAddr, mac: Mac, token: &Token, now: Time) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|(.., at)| now.since(*at) < Self::KEPT_FOR);
        if claims.len() >= Self::MOST {
            claims.pop_front();
        }
        claims.push_back((peer, mac, token.clone(), now));
    }
}
