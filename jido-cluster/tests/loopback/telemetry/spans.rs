//! Without OpenTelemetry the trace that a caller tells goes along, and spans tell it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use jido_cluster::TraceContext;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::{Message, SECRET, keys_on, start_many};
use crate::harness::{Cluster, eventually};

#[derive(Debug, Clone, Default)]
struct Kept {
    name: &'static str,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Kept {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        self.fields
            .insert(field.name(), text.trim_matches('"').to_owned());
    }
}

/// Keeps the spans of our target, in the order in which they began.
#[derive(Debug, Clone, Default)]
struct Keep(Arc<Mutex<Vec<(u64, Kept)>>>);

impl Keep {
    fn named(&self, name: &str) -> Vec<Kept> {
        let kept = self.0.lock().unwrap();
        let named = kept.iter().filter(|(_, span)| span.name == name);
        named.map(|(_, span)| span.clone()).collect()
    }

    /// The last one of a number: registries use numbers again.
    fn change(&self, id: u64, change: impl FnOnce(&mut Kept)) {
        let mut kept = self.0.lock().unwrap();
        if let Some((_, span)) = kept.iter_mut().rev().find(|(kept, _)| *kept == id) {
            change(span);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if attributes.metadata().target() != "jido_cluster::trace" {
            return;
        }
        let parent = ctx.span(id).and_then(|span| span.parent());
        let mut kept = Kept {
            name: attributes.metadata().name(),
            parent: parent.map(|parent| parent.id().into_u64()),
            ..Kept::default()
        };
        attributes.record(&mut kept);
        self.0.lock().unwrap().push((id.into_u64(), kept));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id.into_u64(), |span| values.record(span));
    }
}

fn keep(level: LevelFilter) -> (Keep, tracing::subscriber::DefaultGuard) {
    let keep = Keep::default();
    let subscriber = tracing_subscriber::registry().with(keep.clone().with_filter(level));
    (keep, tracing::subscriber::set_default(subscriber))
}

fn trace(last: u64) -> TraceContext {
    let trace = TraceContext::new(0xabc << 64 | u128::from(last), 9, 1).unwrap();
    trace.with_state("vendor=opaque").unwrap()
}

const TRACE: &str = "0000000000000abc0000000000000007";

#[tokio::test(start_paused = true)]
async fn a_trace_that_a_caller_tells_is_in_the_spans_of_all_nodes() {
    let (kept, _guard) = keep(LevelFilter::INFO);
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 2).await;
    let (_, h1) = &nodes[0];
    let there = &keys_on(h1, &nodes[1].0, 1).await[0];
    let back = keys_on(h1, &nodes[0].0, 1).await.remove(0);

    // From n1 to an agent on n2, which calls another on n1.
    let request = h1.request(there, Message::Other(back));
    request.trace_context(trace(7)).send().await.unwrap();
    let told = |name: &str| -> Vec<(String, String)> {
        let spans = kept.named(name).into_iter();
        spans
            .map(|span| {
                assert_eq!(span.fields["manager"], "told");
                assert!(!span.fields.contains_key("key"), "{span:?}");
                (span.fields["node"].clone(), span.fields["trace_id"].clone())
            })
            .collect()
    };
    let at = |node: &str| (node.to_owned(), TRACE.to_owned());
    assert_eq!(told("jido.call"), [at("n1"), at("n2")]);
    assert_eq!(told("jido.activate"), [at("n2"), at("n1")]);
    assert_eq!(told("jido.handle"), [at("n2"), at("n1")]);
    assert_eq!(told("jido.commit"), [at("n1"), at("n2")]);
    for (name, outcome) in [
        ("jido.call", "ok"),
        ("jido.activate", "claimed"),
        ("jido.handle", "ok"),
        ("jido.commit", "committed"),
    ] {
        let spans = kept.named(name);
        assert!(
            spans.iter().all(|span| span.fields["outcome"] == outcome),
            "{spans:?}"
        );
    }

    // The agent sees it; a call without one has none, and neither has what follows it.
    let request = h1.request(there, Message::Trace).trace_context(trace(8));
    assert_eq!(request.send().await.unwrap().value, 8);
    assert_eq!(h1.call(there, Message::Trace).await.unwrap(), 0);
    let last = kept.named("jido.handle").pop().unwrap();
    assert!(!last.fields.contains_key("trace_id"), "{last:?}");

    // One that fails says how.
    h1.call(there, Message::Fail).await.unwrap_err();
    assert_eq!(
        kept.named("jido.handle").pop().unwrap().fields["outcome"],
        "failed"
    );
    assert_eq!(
        kept.named("jido.call").pop().unwrap().fields["outcome"],
        "agent"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_done_with_an_agent_besides_its_messages_is_in_the_trace_too() {
    let (kept, _guard) = keep(LevelFilter::INFO);
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 2).await;
    let (_, h1) = &nodes[0];
    let here = &keys_on(h1, &nodes[0].0, 1).await[0];
    let there = keys_on(h1, &nodes[1].0, 1).await.remove(0);

    let request = h1.request(here, Message::Errands(there));
    request.trace_context(trace(7)).send().await.unwrap();
    let told = |name: &str, field: &str| -> Vec<[String; 4]> {
        let spans = kept.named(name).into_iter();
        spans
            .map(|span| {
                ["node", "trace_id", field, "outcome"].map(|name| span.fields[name].clone())
            })
            .collect()
    };
    let on = |node: &str, operation: &str, outcome: &str| {
        [node, TRACE, operation, outcome].map(str::to_owned)
    };
    let mut errands = told("jido.call", "operation");
    assert_eq!(errands.remove(0), on("n1", "call", "ok"));
    assert_eq!(
        errands,
        ["activate", "stop", "delete"].map(|operation| on("n1", operation, "ok"))
    );
    // What is to be deleted is claimed before it.
    assert_eq!(
        told("jido.activate", "manager"),
        ["n1", "n2", "n2"].map(|node| on(node, "told", "claimed"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_passes_a_call_on_is_in_its_trace() {
    let (kept, _guard) = keep(LevelFilter::INFO);
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 3).await;
    let (n1, h1) = &nodes[0];
    let n3 = &nodes[2].0;
    let key = &keys_on(h1, n3, 1).await[0];
    h1.call(key, Message::Add).await.unwrap();
    cluster.network.cut(n1.incarnation(), n3.incarnation());
    eventually(|| n1.members().len() == 2).await;

    let request = h1.request(key, Message::Add).trace_context(trace(7));
    assert_eq!(request.send().await.unwrap().value, 2);
    let last = |name: &str| {
        let span = kept.named(name).pop().unwrap();
        let field = |name| span.fields.get(name).cloned().unwrap_or_default();
        [field("node"), field("trace_id"), field("outcome")]
    };
    assert_eq!(last("jido.relay"), ["n2", TRACE, "ok"]);
    assert_eq!(last("jido.handle"), ["n3", TRACE, "ok"]);
    assert_eq!(kept.named("jido.relay").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_along_where_nobody_takes_spans() {
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 2).await;
    let (_, h1) = &nodes[0];
    for node in [0, 1] {
        let key = &keys_on(h1, &nodes[node].0, 1).await[0];
        let request = h1.request(key, Message::Trace).trace_context(trace(5));
        assert_eq!(request.send().await.unwrap().value, 5, "on n{}", node + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_in_spans_at_the_level_debug_alone() {
    for (level, expected) in [
        (LevelFilter::INFO, None),
        (LevelFilter::DEBUG, Some(SECRET)),
    ] {
        let (kept, _guard) = keep(level);
        let cluster = Cluster::new();
        let nodes = start_many(&cluster, 1).await;
        let key = format!("{SECRET}-1");
        nodes[0].1.call(&key, Message::Add).await.unwrap();
        for name in ["jido.call", "jido.activate", "jido.handle", "jido.commit"] {
            let span = kept.named(name).pop().unwrap();
            let told = span.fields.get("key").map(String::as_str);
            assert_eq!(told, expected.map(|_| key.as_str()), "{span:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn on_one_node_spans_stand_below_each_other_by_themselves() {
    let (kept, _guard) = keep(LevelFilter::INFO);
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 1).await;
    nodes[0].1.call("k", Message::Add).await.unwrap();
    let spans = kept.0.lock().unwrap().clone();
    let find = |name: &str| spans.iter().find(|(_, span)| span.name == name).unwrap();
    let (call, _) = find("jido.call");
    let (handle, handled) = find("jido.handle");
    assert_eq!(handled.parent, Some(*call));
    assert_eq!(find("jido.activate").1.parent, Some(*call));
    assert_eq!(find("jido.commit").1.parent, Some(*handle));
}
