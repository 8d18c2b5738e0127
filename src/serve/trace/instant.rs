//! Instants of the trace as text: RFC 3339 with milliseconds, for a boot's steps follow each other within one second.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Time;

/// Writes an instant.
pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(stamp) => format!("{stamp:.3}").serialize(to),
        Err(_) => time.to_string().serialize(to),
    }
}

/// Reads one.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    let text = String::deserialize(from)?;
    Time::parse(&text).ok_or_else(|| D::Error::custom("not an instant (RFC 3339)"))
}
