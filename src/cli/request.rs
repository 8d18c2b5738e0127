//! `rackwright request`: one HTTP request, for programs of hooks that are run on the bootstrap host. Not for people.
//!
//! It reads a hook's `input.json` from standard input: `args.uri`, `args.action` (the method) and `args.body`, sent as JSON.
//! It exits with 0 when the answer was a success, with 75 (`EX_TEMPFAIL`) when it may pass by itself (no connection, 408,
//! 429, 5xx), else with 1. Of the URI it tells scheme, host and port only: the rest of it is often a secret.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use crate::drive::http;
use crate::model::{FaultClass, Secret};

/// Longest input that is read.
const LIMIT: u64 = 16 << 20;
/// `EX_TEMPFAIL` of `sysexits.h`.
const TRY_AGAIN: u8 = 75;
#[derive(Debug, Args)]
pub struct RequestArgs {}

/// Makes the request.
pub fn request(_: &RequestArgs) -> anyhow::Result<u8> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin().take(LIMIT).read_to_string(&mut text).context("standard input")?;
    // What a parser says may quote what it reads.
    let Ok(input) = serde_json::from_str::<Value>(&text) else { bail!("standard input is not JSON") };
    let word = |name: &str| input["args"][name].as_str().with_context(|| format!("`args.{name}` is not a text"));
    let (uri, method) = (Secret::new(word("uri")?), word("action")?);
    let send = async {
        let client = http::client()?;
        http::send(&client, "request", &uri, method, &input["args"]["body"]).await
    };
    match super::runtime()?.block_on(send) {
        Ok(()) => Ok(0),
        Err(fault) => {
            use std::io::Write as _;
            writeln!(anstream::stderr(), "{}", fault.message).context("standard error")?;
            Ok(if fault.class == FaultClass::Transient { TRY_AGAIN } else { 1 })
        }
    }
}
