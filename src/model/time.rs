//! One instant type. The core never asks what time it is; it is told.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant, in milliseconds since the Unix epoch (UTC). Printed as RFC 3339 with whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// The instant `seconds` after the epoch.
    pub const fn from_secs(seconds: i64) -> Self {
        Time(seconds * 1000)
    }

    /// How long `self` is after `earlier`; zero when it is not after it.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 instant, as written by [`Display`](fmt::Display).
    pub fn parse(text: &str) -> Option<Time> {
        text.parse::<jiff::Timestamp>().ok().map(|stamp| Time(stamp.as_millisecond()))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, delta: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(delta.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, delta: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(delta.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0.div_euclid(1000)) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// An instant (RFC 3339, whole seconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(inline, extend("format" = "date-time"))]
pub struct Stamp(#[schemars(with = "String")] Time);

impl Stamp {
    /// The instant; the epoch where there is none.
    pub fn time(self) -> Time {
        self.0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Stamp::default()
    }
}

impl From<Time> for Stamp {
    fn from(time: Time) -> Self {
        Stamp(Time::from_secs(time.0.div_euclid(1000)))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { Ok(()) } else { self.0.fmt(f) }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let none = text.is_empty().then(Time::default);
        let time = none.or_else(|| Time::parse(&text)).ok_or_else(|| format!("`{text}` is not an instant (RFC 3339)"));
        time.map(Stamp::from).map_err(serde::de::Error::custom)
    }
}
