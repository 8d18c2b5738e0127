//! What a request wants of a file: all of it, a part, or nothing because it has it already. A pure function of the
//! request's headers (RFC 9110, sections 13 and 14).
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, header};

/// What is known of the file that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its octets.
    pub length: u64,
    /// Its strong entity tag, with quotes.
    pub etag: &'a str,
    /// When it was last changed; HTTP knows whole seconds only.
    pub modified: SystemTime,
    pub now: SystemTime,
}

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// 200, all of it.
    Whole,
    /// 206, these octets; `last` is one of them.
    Part { first: u64, last: u64 },
    /// 304: the client has it.
    NotModified,
    /// 412: the client wants another one.
    PreconditionFailed,
    /// 416: the file has no such part.
    Unsatisfiable,
}

/// A file that changed so lately may change again within the same second; then its date is no strong validator (RFC 9110
/// section 8.8.2.2).
const SETTLED: Duration = Duration::from_secs(2);

/// What a GET or HEAD with these headers is answered with, in the order of RFC 9110 section 13.2.2. A header that cannot
/// be read is as good as none.
pub fn select(headers: &HeaderMap, facts: Facts<'_>) -> Selection {
    let matches = |name, strong| lists(headers, name).map(|tags| names(&tags, facts.etag, strong));
    let date = |name| headers.get(name).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    let newer_than = |date: SystemTime| seconds(facts.modified) > seconds(date);
    let if_match = matches(header::IF_MATCH, true);
    if if_match == Some(false) || if_match.is_none() && date(header::IF_UNMODIFIED_SINCE).is_some_and(newer_than) {
        return Selection::PreconditionFailed;
    }
    let if_none_match = matches(header::IF_NONE_MATCH, false);
    let unchanged = || date(header::IF_MODIFIED_SINCE).is_some_and(|date| !newer_than(date));
    if if_none_match.unwrap_or_else(unchanged) {
        return Selection::NotModified;
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next().and_then(|range| range.to_str().ok()), ranges.next()) {
        (Some(range), None) if same_file(headers, facts) => part(range, facts.length),
        _ => Selection::Whole,
    }
}

/// `If-Range` (section 13.1.5): whether the part wanted is of the file that the client has begun.
fn same_file(headers: &HeaderMap, facts: Facts<'_>) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    if value.starts_with(['"', 'W']) {
        return value == facts.etag;
    }
    let settled = facts.now.duration_since(facts.modified).is_ok_and(|age| age >= SETTLED);
    settled && httpdate::parse_http_date(value).is_ok_and(|date| seconds(date) == seconds(facts.modified))
}

/// One range (section 14.1.2). A client that asks for several gets everything: that is allowed, and nobody who boots
/// asks for several.
pub fn part(range: &str, length: u64) -> Selection {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-')) else {
        return Selection::Whole;
    };
    // Digits beyond any file's length count as the greatest number there is.
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (from, to) = (number(first), number(last));
    let readable = (from.is_some() || first.is_empty()) && (to.is_some() || last.is_empty());
    let end = length.saturating_sub(1);
    match (from, to) {
        _ if !readable => Selection::Whole,
        (None, None) => Selection::Whole,
        (Some(first), Some(last)) if first > last => Selection::Whole,
        (Some(first), _) if first >= length => Selection::Unsatisfiable,
        (Some(first), last) => Selection::Part { first, last: last.unwrap_or(end).min(end) },
        (None, Some(0)) => Selection::Unsatisfiable,
        // The end of nothing cannot be written as a range.
        (None, Some(_)) if length == 0 => Selection::Whole,
        (None, Some(count)) => Selection::Part { first: length.saturating_sub(count), last: end },
    }
}

/// The whole value of a header that may come in several lines; nothing when it does not come at all.
fn lists(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// Whether a list of entity tags names this one (section 8.8.3.2). Weak tags never match strongly.
fn names(list: &str, etag: &str, strong: bool) -> bool {
    let mut rest = list.trim();
    if rest == "*" {
        return true;
    }
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (weak, tag) = rest.strip_prefix("W/").map_or((false, rest), |tag| (true, tag));
        let Some(end) = tag.strip_prefix('"').and_then(|inner| inner.find('"')) else { return false };
        let (tag, after) = tag.split_at(end + 2);
        if tag == etag && !(weak && strong) {
            return true;
        }
        rest = after;
    }
}

/// Whole seconds since the epoch, as HTTP dates have them.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
