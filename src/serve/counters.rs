//! What a server counts, by kind and outcome; never by machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names of counters: what was heard (with the server's prefix, as in `dhcp_discover`), and what became of it. The last
/// one takes whatever is not listed.
pub type Names = &'static [(&'static str, &'static str)];

/// A server's counters, for `/metrics`.
#[derive(Debug)]
pub struct Counters {
    prefix: &'static str,
    names: Names,
    values: Vec<AtomicU64>,
}

impl Counters {
    /// All at zero.
    pub fn new(prefix: &'static str, names: Names) -> Self {
        Counters { prefix, names, values: names.iter().map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one; `kind` goes without the prefix. A pair nobody listed is counted under the last name.
    pub fn count(&self, kind: &str, outcome: &str) {
        let is_meant = |(name, word): &(&str, &str)| name.strip_prefix(self.prefix) == Some(kind) && *word == outcome;
        let listed = self.names.iter().position(is_meant);
        if let Some(value) = listed.map_or(self.values.last(), |index| self.values.get(index)) {
            value.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every counter: kind (with the prefix), outcome, how often since the start.
    pub fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
        let values = self.values.iter().map(|value| value.load(Ordering::Relaxed));
        self.names.iter().zip(values).map(|((kind, outcome), value)| (*kind, *outcome, value)).collect()
    }
}
