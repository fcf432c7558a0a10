//! Metrics of this node for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::service::{CallbackCounts, HistoryCounts, Removed, StoreMeter};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

/// What retention removes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Store {
    store: &'static str,
}

pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram>,
    jobs: Gauge<i64, std::sync::atomic::AtomicI64>,
    queued: Gauge<i64, std::sync::atomic::AtomicI64>,
    contexts: Gauge<i64, std::sync::atomic::AtomicI64>,
    callbacks: Callbacks,
    removed: Family<Kind, Counter>,
    removed_bytes: Counter,
    retention_passes: Counter,
    away: Family<Store, Gauge>,
    history: History,
}

/// Of jobs in segments.
#[derive(Default)]
struct History {
    packed: Counter,
    reads: Counter,
    unreadable: Counter,
}

#[derive(Default)]
struct Callbacks {
    waiting: Gauge,
    delivered: Counter,
    failed: Counter,
    given_up: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("doyen");
        let requests = Family::<Request, Counter<u64, AtomicU64>>::default();
        registry.register("http_requests", "Requests answered, by route and status", requests.clone());
        // From 0.5 ms to 16 s.
        let durations =
            Family::<Route, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 16)));
        let help = "Time from a request's head to its answer's head";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, durations.clone());
        let jobs = Gauge::default();
        registry.register("jobs_active", "Jobs that have not ended", jobs.clone());
        let queued = Gauge::default();
        registry.register("jobs_queued", "Jobs that wait for a place in their context", queued.clone());
        let contexts = Gauge::default();
        registry.register("contexts_live", "Contexts that have not ended", contexts.clone());
        let callbacks = Callbacks::default();
        let help = "Callbacks that wait for their delivery; 10000 stands for more";
        registry.register("callbacks_waiting", help, callbacks.waiting.clone());
        registry.register("callbacks_delivered", "Callbacks delivered", callbacks.delivered.clone());
        registry.register("callbacks_failed", "Attempts to deliver a callback that failed", callbacks.failed.clone());
        registry.register("callbacks_given_up", "Callbacks given up", callbacks.given_up.clone());
        let removed = Family::<Kind, Counter>::default();
        registry.register("retention_removed", "What retention has removed, by kind", removed.clone());
        let removed_bytes = Counter::default();
        let help = "Content that retention has removed";
        registry.register_with_unit("retention_removed", help, Unit::Bytes, removed_bytes.clone());
        let retention_passes = Counter::default();
        registry.register("retention_passes", "Passes of retention that came to their end", retention_passes.clone());
        let away = Family::<Store, Gauge>::default();
        let help = "For how long a store has been away; 0 when it is there";
        registry.register_with_unit("store_away", help, Unit::Seconds, away.clone());
        let history = History::default();
        registry.register("history_packed", "Old jobs that were packed into segments", history.packed.clone());
        registry.register("history_reads", "Parts of segments that were read", history.reads.clone());
        registry.register("history_unreadable", "Parts of segments that are damaged", history.unreadable.clone());
        Self {
            registry,
            requests,
            durations,
            jobs,
            queued,
            contexts,
            callbacks,
            removed,
            removed_bytes,
            retention_passes,
            away,
            history,
        }
    }
}

impl Metrics {
    /// With those of a store that counts for itself.
    pub fn of(store: Option<StoreMeter>) -> Self {
        let mut all = Self::default();
        let Some(StoreMeter { commits, transactions, duration, sessions, znodes }) = store else { return all };
        let registry = &mut all.registry;
        registry.register("zookeeper_commits", "Changes of records written to ZooKeeper", commits);
        let help = "Transactions of ZooKeeper that wrote them; several changes share one";
        registry.register("zookeeper_transactions", help, transactions);
        let help = "Time from when a transaction was sent to ZooKeeper to its answer";
        registry.register_with_unit("zookeeper_transaction_duration", help, Unit::Seconds, duration);
        registry.register("zookeeper_sessions", "Sessions with ZooKeeper that have begun", sessions);
        registry.register("zookeeper_znodes", "Znodes of the store, all of which are held in memory", znodes);
        all
    }

    /// `route` is the pattern that matched, so that names and ids do not make a series each.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.durations
            .get_or_create(&Route { method: method.clone(), route: route.clone() })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&Request { method, route, status }).inc();
    }

    /// Since when a store is away, rounded up.
    pub fn away(&self, store: &'static str, away: Option<Duration>) {
        let seconds = away.map_or(0, |away| i64::try_from(away.as_secs()).unwrap_or(i64::MAX - 1) + 1);
        self.away.get_or_create(&Store { store }).set(seconds);
    }

    /// Counters that are kept elsewhere, as they are now.
    pub fn retention(&self, removed: &Removed) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let kinds = [
            ("jobs", &removed.jobs),
            ("results", &removed.results),
            ("logs", &removed.logs),
            ("contexts", &removed.contexts),
            ("binaries", &removed.binaries),
            ("blobs", &removed.blobs),
        ];
        for (kind, counter) in kinds {
            self.removed.get_or_create(&Kind { kind }).inner().store(count(counter), Ordering::Relaxed);
        }
        self.removed_bytes.inner().store(count(&removed.blob_bytes), Ordering::Relaxed);
        self.retention_passes.inner().store(count(&removed.passes), Ordering::Relaxed);
    }

    pub fn history(&self, counts: &HistoryCounts) {
        let History { packed, reads, unreadable } = &self.history;
        for (counter, count) in [(packed, &counts.packed), (reads, &counts.reads), (unreadable, &counts.unreadable)] {
            counter.inner().store(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// The counters are kept where callbacks are delivered.
    pub fn callbacks(&self, counts: CallbackCounts) {
        let Callbacks { waiting, delivered, failed, given_up } = &self.callbacks;
        waiting.set(i64::try_from(counts.waiting).unwrap_or(i64::MAX));
        for (counter, count) in [(delivered, counts.delivered), (failed, counts.failed), (given_up, counts.given_up)] {
            counter.inner().store(count, Ordering::Relaxed);
        }
    }

    pub fn encode(&self, jobs: usize, queued: usize, contexts: usize) -> String {
        self.jobs.set(i64::try_from(jobs).unwrap_or(i64::MAX));
        self.queued.set(i64::try_from(queued).unwrap_or(i64::MAX));
        self.contexts.set(i64::try_from(contexts).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes all text");
        text
    }
}
