//! What a server counts, by kind and outcome; never by machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Names of counters: what was heard, and what became of it.
pub type Names = &'static [(&'static str, &'static str)];

/// How often each outcome came, by its label.
type Outcomes = Family<[(&'static str, &'static str); 1], Counter>;

/// A server's counters, for `/metrics`: `rackwright_dhcp_discover_total{outcome="offer"}`.
#[derive(Clone, Debug)]
pub struct Counters {
    server: &'static str,
    kinds: Arc<BTreeMap<&'static str, Outcomes>>,
}

impl Counters {
    /// All at zero.
    pub fn new(server: &'static str, names: Names) -> Self {
        let mut kinds = BTreeMap::<_, Outcomes>::new();
        for (kind, outcome) in names {
            drop(kinds.entry(*kind).or_default().get_or_create(&[("outcome", *outcome)]));
        }
        Counters { server, kinds: Arc::new(kinds) }
    }

    /// Counts one.
    pub fn count(&self, kind: &str, outcome: &'static str) {
        if let Some(outcomes) = self.kinds.get(kind).or_else(|| self.kinds.get("other")) {
            outcomes.get_or_create(&[("outcome", outcome)]).inc();
        }
    }

    /// How often it was counted since the start; `None` for what was never listed or counted.
    pub fn get(&self, kind: &str, outcome: &'static str) -> Option<u64> {
        self.kinds.get(kind)?.get(&[("outcome", outcome)]).map(|counter| counter.get())
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for (kind, outcomes) in self.kinds.iter() {
            let name = format!("{}_{kind}", self.server);
            registry.register(name, "What was heard, by what became of it", outcomes.clone());
        }
    }
}
