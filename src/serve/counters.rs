//! What a server counts, by kind and outcome; never by machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names of counters: what was heard, and what became of it. The last one takes whatever is not listed.
pub type Names = &'static [(&'static str, &'static str)];

/// A server's counters, for `/metrics`.
#[derive(Debug)]
pub struct Counters {
    names: Names,
    values: Vec<AtomicU64>,
}

impl Counters {
    /// All at zero.
    pub fn new(names: Names) -> Self {
        Counters { names, values: names.iter().map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one; a pair nobody listed is counted under the last name.
    pub fn count(&self, kind: &str, outcome: &str) {
        let listed = self.names.iter().position(|name| *name == (kind, outcome));
        if let Some(value) = listed.map_or(self.values.last(), |index| self.values.get(index)) {
            value.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every counter: kind, outcome, how often since the start.
    pub fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
        let values = self.values.iter().map(|value| value.load(Ordering::Relaxed));
        self.names.iter().zip(values).map(|((kind, outcome), value)| (*kind, *outcome, value)).collect()
    }
}
