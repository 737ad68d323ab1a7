//! What the rebalancer tells.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use jido_cluster::ManagerBuilder;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{WITHIN, all_met, start};
use crate::harness::{Cluster, Counter, Message};

type Fields = BTreeMap<&'static str, String>;

/// Keeps the events of the rebalancer: their names, and their fields.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(&'static str, Fields)>>>);

#[derive(Default)]
struct Read(Fields);

impl Visit for Read {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        self.0
            .insert(field.name(), text.trim_matches('"').to_owned());
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "jido_cluster.rebalancer"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut read = Read::default();
        event.record(&mut read);
        let kept = (event.metadata().name(), read.0);
        self.0.lock().unwrap().push(kept);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn asked(manager: ManagerBuilder<Counter>) -> ManagerBuilder<Counter> {
    manager.rebalance_interval(None)
}

/// What is told of one rebalance of two nodes on these clusters, which share a network.
async fn told(first: &Cluster, second: &Cluster) -> Vec<(&'static str, Fields)> {
    let mut nodes = vec![start(first, "n1", asked).await];
    for i in 0..10 {
        let call = nodes[0].1.call(format!("key-{i}"), Message::Add(1));
        call.await.unwrap();
    }
    nodes.push(start(second, "n2", asked).await);
    all_met(&nodes).await;
    let kept = Kept::default();
    let guard = tracing::subscriber::set_default(kept.clone());
    nodes[0].1.rebalance(WITHIN).await.unwrap();
    drop(guard);
    std::mem::take(&mut *kept.0.lock().unwrap())
}

fn check(told: &[(&'static str, Fields)], expected: [(&str, &str); 2]) {
    assert_eq!(told.len(), 2, "{told:?}");
    for ((name, fields), (end, reason)) in told.iter().zip(expected) {
        assert_eq!(*name, format!("jido_cluster.rebalancer.migration.{end}"));
        assert!(fields["key"].starts_with("key-"));
        let given = ["manager", "from", "to", "reason"].map(|field| fields[field].as_str());
        assert_eq!(given, ["counters", "n1", "n2", reason]);
    }
    assert_eq!(told[0].1["key"], told[1].1["key"]);
}

#[tokio::test(start_paused = true)]
async fn a_move_is_told_from_start_to_end() {
    let cluster = Cluster::new();
    let told = told(&cluster, &cluster).await;
    check(&told, [("start", "misplaced"), ("success", "misplaced")]);
}

#[tokio::test(start_paused = true)]
async fn where_the_storage_is_not_shared_nothing_moves_and_the_reason_is_told() {
    let (first, second) = super::duplicates::apart();
    let told = told(&first, &second).await;
    let expected = [("start", "misplaced"), ("skipped", "storage_not_shared")];
    check(&told, expected);
}
