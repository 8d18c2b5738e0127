//! Where a transfer's octets come from: memory, a file that all transfers read together, or an answer file, which does not
//! exist before its claim was granted.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::claims::Claimer;
use super::wire::code;
use crate::model::desired::TOKEN_MARK;
use crate::serve::files::{Held, PIECE};

/// Pieces kept at hand: that of the window's first block, and the one after it.
const AT_HAND: usize = 2;
/// Length of a token's text.
const TOKEN: usize = 32;

/// What is sent.
pub enum Body {
    /// Octets in memory.
    Bytes(Bytes),
    Held(Arc<Held>),
    /// An answer file: the first one that wants octets of it makes the claim.
    Claim(Claimer),
}

/// Why octets cannot be had; told to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// See [`code`].
    pub code: u16,
    pub message: String,
}

/// Octets on their way into memory, and where in the file they begin.
pub type Coming = Pin<Box<dyn Future<Output = Result<(u64, Bytes), Unavailable>> + Send>>;

/// A body, and the part of it that is at hand.
pub struct Source {
    body: Body,
    length: u64,
    at_hand: VecDeque<(u64, Bytes)>,
}

impl Source {
    /// Nothing is read yet, and nothing claimed.
    pub fn new(body: Body) -> Source {
        let (length, at_hand) = match &body {
            Body::Bytes(octets) => (octets.len() as u64, VecDeque::from([(0, octets.clone())])),
            Body::Held(file) => (file.len(), VecDeque::with_capacity(AT_HAND)),
            Body::Claim(claimer) => (filled_length(&claimer.body), VecDeque::new()),
        };
        Source { body, length, at_hand }
    }

    /// Octets of the whole.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends the octets from `from` on, as many of `most` as there are before the end; says whether they were at hand.
    /// If not, nothing is appended: see [`Source::fetch`].
    pub fn append(&self, from: u64, most: usize, out: &mut Vec<u8>) -> bool {
        let until = self.length.min(from.saturating_add(most as u64));
        let (start, mut at) = (out.len(), from);
        while at < until {
            let Some(part) = self.part(at, until) else {
                out.truncate(start);
                return false;
            };
            out.extend_from_slice(part);
            at += part.len() as u64;
        }
        true
    }

    /// Octets at hand from `at` on, not past `until`.
    fn part(&self, at: u64, until: u64) -> Option<&[u8]> {
        self.at_hand.iter().find_map(|(start, octets)| {
            let from = usize::try_from(at.checked_sub(*start)?).ok()?;
            let to = octets.len().min(usize::try_from(until - start).unwrap_or(usize::MAX));
            octets.get(from..to).filter(|part| !part.is_empty())
        })
    }

    /// Fetches what `append` did not have: the first octets from `from` on that are not at hand.
    pub fn fetch(&self, mut from: u64) -> Coming {
        while let Some(part) = self.part(from, self.length) {
            from += part.len() as u64;
        }
        match &self.body {
            // Everything is at hand from the start; asked all the same, it is the end of it.
            Body::Bytes(_) => Box::pin(std::future::ready(Ok((from, Bytes::new())))),
            Body::Held(file) => {
                let (file, index) = (file.clone(), from / PIECE);
                Box::pin(async move {
                    let piece = file.piece(index).await.map_err(|error| Unavailable {
                        code: code::OTHER,
                        message: format!("the file cannot be read: {error}"),
                    })?;
                    Ok((index * PIECE, piece))
                })
            }
            Body::Claim(claimer) => {
                let claimer = claimer.clone();
                Box::pin(async move { Ok((0, claimer.claim().await?)) })
            }
        }
    }

    /// Takes what was fetched; what is furthest away goes.
    pub fn take(&mut self, start: u64, octets: Bytes) {
        if self.at_hand.len() >= AT_HAND {
            self.at_hand.pop_front();
        }
        self.at_hand.push_back((start, octets));
    }
}

/// An answer file's length once the token is in it: what is told before it is read.
fn filled_length(body: &str) -> u64 {
    let marks = body.matches(TOKEN_MARK).count();
    (body.len() - marks * TOKEN_MARK.len() + marks * TOKEN) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_and_what_is_missing_is_said() {
        let mut source = Source::new(Body::Bytes(Bytes::from_static(b"0123456789")));
        let mut out = b"x".to_vec();
        assert!(source.append(2, 3, &mut out) && source.append(8, 100, &mut out) && source.append(10, 1, &mut out));
        assert_eq!(out, b"x23489");
        source.at_hand.clear();
        assert!(!source.append(2, 3, &mut out));
        source.take(0, Bytes::from_static(b"012"));
        assert!(!source.append(2, 3, &mut out), "a part is not enough");
        assert_eq!(out, b"x23489");
        source.take(3, Bytes::from_static(b"3456789"));
        assert!(source.append(2, 3, &mut out));
        assert_eq!(out, b"x23489234");
        source.take(10, Bytes::new());
        assert!(!source.append(2, 3, &mut out), "the first part has gone");
    }

    #[test]
    fn an_answer_file_is_as_long_as_with_its_token() {
        let body = format!("a{TOKEN_MARK}b{TOKEN_MARK}");
        assert_eq!(filled_length(&body), 2 + 2 * 32);
        assert_eq!(filled_length("abc"), 3);
    }
}
