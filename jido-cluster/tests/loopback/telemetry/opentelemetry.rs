//! With OpenTelemetry the spans of all nodes make up one trace.

use jido_cluster::{Node, TraceContext};
use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::{Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;

use super::{Message, keys_on, start_many};
use crate::harness::{Cluster, eventually};

struct Exported {
    spans: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Exported {
    fn new() -> Self {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            spans,
            _provider: provider,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// So many spans of a name that have ended, once they have.
    async fn named(&self, name: &str, count: usize) -> Vec<SpanData> {
        let named = || {
            let mut spans = self.spans.get_finished_spans().unwrap();
            spans.retain(|span| span.name == name);
            spans
        };
        eventually(|| named().len() >= count).await;
        let named = named();
        assert_eq!(named.len(), count, "{named:?}");
        named
    }

    async fn one(&self, name: &str) -> SpanData {
        self.named(name, 1).await.remove(0)
    }
}

fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}

fn node_of(span: &SpanData) -> String {
    let mut attributes = span.attributes.iter();
    let node = attributes.find(|one| one.key.as_str() == "node");
    node.unwrap().value.to_string()
}

/// That all are of the trace of the first, and each below the one before.
fn is_chain(spans: &[&SpanData]) {
    for pair in spans.windows(2) {
        let [above, below] = pair else { continue };
        assert_eq!(
            above.span_context.trace_id(),
            below.span_context.trace_id(),
            "{} and {}",
            above.name,
            below.name
        );
        assert_eq!(
            below.parent_span_id,
            id(above),
            "{} below {}",
            below.name,
            above.name
        );
    }
}

fn names<const N: usize>(nodes: [&Node; N]) -> [String; N] {
    nodes.map(|node| node.me().name.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_call_across_nodes_is_one_trace() {
    let exported = Exported::new();
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 2).await;
    let (_, h1) = &nodes[0];
    let there = &keys_on(h1, &nodes[1].0, 1).await[0];
    let call = h1.call(there, Message::Add);
    call.instrument(info_span!("caller")).await.unwrap();

    let caller = exported.one("caller").await;
    let call = exported.one("jido.call").await;
    let activate = exported.one("jido.activate").await;
    let handle = exported.one("jido.handle").await;
    let commit = exported.one("jido.commit").await;
    is_chain(&[&caller, &call, &handle, &commit]);
    is_chain(&[&call, &activate]);
    assert!(handle.parent_span_is_remote, "{handle:?}");
    let [n1, n2] = names([&nodes[0].0, &nodes[1].0]);
    assert_eq!(node_of(&call), n1);
    for span in [&activate, &handle, &commit] {
        assert_eq!(node_of(span), n2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_passed_on_and_those_that_its_agent_makes_are_of_the_same_trace() {
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 3).await;
    let (n1, h1) = &nodes[0];
    let n2 = &nodes[1].0;
    let there = keys_on(h1, n2, 1).await.remove(0);
    let further = keys_on(h1, &nodes[2].0, 1).await.remove(0);
    h1.call(&there, Message::Add).await.unwrap();
    h1.call(&further, Message::Add).await.unwrap();
    cluster.network.cut(n1.incarnation(), n2.incarnation());
    eventually(|| n1.members().len() == 2 && n2.members().len() == 2).await;
    // The owner is learned of, so that no further try is among the spans.
    h1.call(&there, Message::Add).await.unwrap();

    let exported = Exported::new();
    let call = h1.call(&there, Message::Other(further));
    call.instrument(info_span!("caller")).await.unwrap();
    let caller = exported.one("caller").await;
    let calls = exported.named("jido.call", 2).await;
    let handles = exported.named("jido.handle", 2).await;
    let commits = exported.named("jido.commit", 2).await;
    // What is inside ends first.
    let [inner_call, call] = &calls[..] else {
        unreachable!()
    };
    let relay = exported.one("jido.relay").await;
    let (handle, inner_handle) = match handles[0].parent_span_id == id(&relay) {
        true => (&handles[0], &handles[1]),
        false => (&handles[1], &handles[0]),
    };
    let (commit, inner_commit) = match commits[0].parent_span_id == id(handle) {
        true => (&commits[0], &commits[1]),
        false => (&commits[1], &commits[0]),
    };
    is_chain(&[&caller, call, &relay, handle, commit]);
    is_chain(&[handle, inner_call, inner_handle, inner_commit]);
    assert!(relay.parent_span_is_remote && handle.parent_span_is_remote);
    let nodes = [call, &relay, handle, inner_handle].map(node_of);
    assert_eq!(nodes, ["n1", "n3", "n2", "n3"]);
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_told_is_the_parent_of_the_call() {
    let exported = Exported::new();
    let cluster = Cluster::new();
    let nodes = start_many(&cluster, 1).await;
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let told: TraceContext = header.parse().unwrap();
    let told = told.with_state("vendor=opaque").unwrap();
    let request = nodes[0].1.request("k", Message::Trace);
    let reply = request.trace_context(told.clone()).send().await.unwrap();
    assert_eq!(reply.value, told.trace_id() as i64);
    let call = exported.one("jido.call").await;
    let handle = exported.one("jido.handle").await;
    is_chain(&[&call, &handle]);
    assert_eq!(call.parent_span_id, SpanId::from(told.parent_id()));
    assert_eq!(
        call.span_context.trace_id().to_string(),
        told.trace_id_hex().to_string()
    );
    assert_eq!(handle.span_context.trace_state().header(), "vendor=opaque");
}
