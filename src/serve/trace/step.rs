//! Steps and attempts, and how they are written for clients of the API: as data, with the words beside it.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::exchange::{Exchange, Service};
use crate::model::Time;

/// Steps remembered of each attempt: the first sixteen, and the newest.
pub const STEPS: usize = 48;
/// Steps at an attempt's beginning that are never dropped: they tell how far the firmware came.
const HEAD: usize = 16;
/// How many steps back a repeat is looked for: firmware that starts over says the same two to four things again.
const LOOK_BACK: usize = 4;

/// One step of a boot chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "Document", from = "Document")]
pub struct Step {
    /// When, for the first time.
    pub at: Time,
    /// When, for the last time.
    pub last: Time,
    /// How many times.
    pub count: u32,
    /// What was asked and answered.
    pub exchange: Exchange,
}

/// A step as the API writes it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Step")]
struct Document {
    #[serde(serialize_with = "milliseconds", deserialize_with = "instant")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    at: Time,
    #[serde(serialize_with = "milliseconds", deserialize_with = "instant")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    last: Time,
    count: u32,
    by: Service,
    /// What was asked, in words.
    asked: String,
    /// What came of it, in words.
    outcome: String,
    /// The same as data.
    exchange: Exchange,
}

impl From<Step> for Document {
    fn from(step: Step) -> Document {
        let Step { at, last, count, exchange } = step;
        let (by, asked, outcome) = (exchange.service(), exchange.asked(), exchange.outcome());
        Document { at, last, count, by, asked, outcome, exchange }
    }
}

impl From<Document> for Step {
    fn from(document: Document) -> Step {
        let Document { at, last, count, exchange, .. } = document;
        Step { at, last, count, exchange }
    }
}

/// RFC 3339 with milliseconds, for a boot's steps follow each other within one second.
fn milliseconds<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(stamp) => to.collect_str(&format_args!("{stamp:.3}")),
        Err(_) => to.collect_str(time),
    }
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    let text = String::deserialize(from)?;
    Time::parse(&text).ok_or_else(|| serde::de::Error::custom("not an instant (RFC 3339)"))
}

impl Step {
    /// Octets it takes in memory.
    pub fn octets(&self) -> usize {
        size_of::<Step>() + self.exchange.text_octets()
    }
}

/// What a machine did from one power-on to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Counted from 1, as far as the daemon has seen.
    pub number: u32,
    /// The steps, in the order in which they were first taken.
    pub steps: VecDeque<Step>,
    /// How many steps from the middle are forgotten.
    #[serde(default)]
    pub dropped: u32,
}

impl Attempt {
    /// When the machine was last heard.
    pub fn heard(&self) -> Option<Time> {
        self.steps.iter().map(|step| step.last).max()
    }

    /// Adds a step, folding it into an equal one or into the transfer it ends.
    pub(super) fn add(&mut self, step: Step) {
        let recent = self.steps.len().saturating_sub(LOOK_BACK);
        // A transfer is told when it begins and when it ends; one line is enough for both.
        if let Some(at) = (recent..self.steps.len()).rev().find(|at| step.exchange.ends(&self.steps[*at].exchange)) {
            let begun = &mut self.steps[at];
            if begun.count > 1 {
                begun.count -= 1;
            } else {
                self.steps.remove(at);
            }
        }
        let recent = self.steps.len().saturating_sub(LOOK_BACK);
        match self.steps.range_mut(recent..).rev().find(|known| known.exchange == step.exchange) {
            Some(known) => {
                known.count = known.count.saturating_add(1);
                known.last = step.at;
            }
            None => self.steps.push_back(step),
        }
        if self.steps.len() > STEPS {
            self.steps.remove(HEAD);
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}
