//! Spans as OpenTelemetry has them.

use jido_core::TraceContext;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a span go on with the trace of a parent, and gives its own context; none where no layer of
/// OpenTelemetry takes the span.
pub(super) fn join(span: &Span, parent: Option<&TraceContext>) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    if let Some(parent) = parent
        && let Err(error) =
            span.set_parent(Context::new().with_remote_span_context(span_context(parent)))
    {
        // There is no layer, or it leaves this span out.
        tracing::trace!(%error, "a span does not go on with its caller's trace");
    }
    let context = span.context();
    trace_context(context.span().span_context())
}

fn span_context(context: &TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from(context.trace_id()),
        SpanId::from(context.parent_id()),
        TraceFlags::new(context.flags()),
        true,
        // What is refused here was none of ours to read.
        context.state().parse::<TraceState>().unwrap_or_default(),
    )
}

fn trace_context(span: &SpanContext) -> Option<TraceContext> {
    let trace_id = u128::from_be_bytes(span.trace_id().to_bytes());
    let parent_id = u64::from_be_bytes(span.span_id().to_bytes());
    let context = TraceContext::new(trace_id, parent_id, span.trace_flags().to_u8()).ok()?;
    let state = span.trace_state().header();
    // One that is too long is left out, as the recommendation has it.
    match state.is_empty() {
        true => Some(context),
        false => context.clone().with_state(&state).ok().or(Some(context)),
    }
}
