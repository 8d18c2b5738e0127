//! `GET /metrics`: OpenMetrics text. Counted by state and reason, never labelled by host.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{App, Glance, message};
use crate::model::{Lane, Time, World};
use crate::serve::api::rack::Rack;
use crate::serve::counters::Counters;
use crate::serve::trace::CheckinOutcome;

type Labels<const N: usize> = [(&'static str, String); N];
type Counts<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;

pub(crate) struct Metrics {
    requests: Counts<2>,
    checkins: Counts<2>,
    others: Vec<Counters>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(others: Vec<Counters>) -> Self {
        Metrics { requests: Family::default(), checkins: Family::default(), others }
    }

    /// A request was answered. `route` is a route's pattern, never a path.
    pub fn request(&self, route: String, code: StatusCode) {
        let labels = [("route", route), ("code", code.as_str().to_owned())];
        self.requests.get_or_create(&labels).inc();
    }

    /// A check-in came in.
    pub fn checkin(&self, action: &'static str, outcome: CheckinOutcome) {
        let labels = [("action", action.to_owned()), ("outcome", outcome.to_string())];
        self.checkins.get_or_create(&labels).inc();
    }

    /// Everything, as text.
    fn text(&self, glance: &Glance) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("rackwright");
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register("checkins", "Check-ins and lease notices received", self.checkins.clone());
        register_rack(&mut registry, &Rack::of(&glance.world, &glance.plan));
        register_leases(&mut registry, &glance.world, glance.now);
        register_git(&mut registry, &glance.world, glance.now);
        self.others.iter().for_each(|counters| counters.register(&mut registry));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn register_rack(registry: &mut Registry, rack: &Rack) {
    let (hosts, clusters) = (Gauges::<2>::default(), Gauges::<1>::default());
    for host in rack.clusters.iter().flat_map(|(_, hosts)| hosts) {
        let labels = [("state", host.state.to_string()), ("condition", host.condition.status.to_string())];
        hosts.get_or_create(&labels).inc();
    }
    for (cluster, _) in &rack.clusters {
        clusters.get_or_create(&[("state", cluster.state.to_string())]).inc();
    }
    registry.register("hosts", "Hosts of the repository, by state and condition", hosts);
    registry.register("clusters", "Clusters of the repository, by state", clusters);
    registry.register("rejected", "1 while the watched head is refused", gauge(rack.rejected.is_some().into()));
    registry.register(
        "foreign_dhcp",
        "1 after another DHCP server was seen",
        gauge(rack.foreign_dhcp.is_some().into()),
    );
    registry.register(
        "unclaimed",
        "Machines and BMCs on the network that are not in the repository",
        gauge(i64::try_from(rack.unclaimed.len()).unwrap_or(i64::MAX)),
    );
    registry.register("state_changes", "State changes so far", ConstCounter::new(rack.changes));
}

fn register_leases(registry: &mut Registry, world: &World, now: Time) {
    let (used, size) = (Gauges::<1>::default(), Gauges::<1>::default());
    for subnet in &world.policy.site.subnets {
        let label = [("subnet", subnet.net.to_string())];
        let range = u32::from(subnet.first)..=u32::from(subnet.last);
        let held = |ip| range.contains(&u32::from(ip));
        let count = world.leases.iter().filter(|lease| lease.until > now && held(lease.ip)).count();
        used.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        size.get_or_create(&label).set(i64::from(*range.end()) - i64::from(*range.start()) + 1);
    }
    registry.register("leases_used", "Addresses of the dynamic range that are held now", used);
    registry.register("leases_size", "Addresses in the dynamic range", size);
}

fn register_git(registry: &mut Registry, world: &World, now: Time) {
    let git = &world.git;
    let stages = [("git_fetch", git.fetched_at, Lane::Fetch), ("git_publish", git.published_at, Lane::Publish)];
    for (stage, last, lane) in stages {
        if let Some(last) = last {
            let age = Gauge::<f64, AtomicU64>::default();
            age.set(now.since(last).as_secs_f64());
            registry.register(format!("{stage}_age_seconds"), "Time since it last ended", age);
        }
        registry.register(format!("{stage}_failures"), "Failures in a row", gauge(failures(world, lane)));
    }
    let receivers = world.policy.receivers.iter();
    let unheard = receivers.map(|it| failures(world, Lane::Receiver(it.name.clone()))).max().unwrap_or_default();
    registry.register("notify_failures", "Failures in a row", gauge(unheard));
}

fn failures(world: &World, lane: Lane) -> i64 {
    world.lanes.failure(&lane).map_or(0, |failure| failure.count.into())
}

fn gauge(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

pub(super) async fn get(State(app): State<Arc<App>>) -> Response {
    match app.metrics.text(&app.glance()) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => message(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
