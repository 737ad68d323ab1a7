//! A call as it is followed across tasks and nodes.

use std::sync::Arc;

use jido_core::{ManagerName, NodeName, TraceContext};
use tokio::task_local;
use tracing::field::{Empty, display};
use tracing::{Instrument, Level, Span, enabled, info_span};

use super::wire;
use crate::error::{Error, ErrorKind};

/// The target of all spans, by which filters tell them.
const TARGET: &str = "jido_cluster::trace";

task_local! {
    /// The trace of the message that is being handled by an agent, for the calls that it makes.
    static HANDLED: TraceContext;
}

/// Whose span it is.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) manager: &'a ManagerName,
    pub(crate) node: &'a NodeName,
    pub(crate) key: &'a str,
}

/// What a message carries for those who follow its call; nothing, and then it costs nothing, where
/// nobody does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace(Option<Arc<Followed>>);

#[derive(Debug)]
struct Followed {
    /// Disabled where only the context is known.
    span: Span,
    context: Option<TraceContext>,
}

/// A call that nobody follows.
pub(crate) static UNTRACED: Trace = Trace(None);

/// A span of a name, below another or the one that is entered. What it is followed by is recorded
/// once it is known.
macro_rules! span {
    ($name:literal of $whose:expr, operation = $operation:expr) => {
        info_span!(
            target: TARGET,
            $name,
            manager = %$whose.manager,
            node = %$whose.node,
            operation = $operation,
            key = Empty,
            trace_id = Empty,
            outcome = Empty,
        )
    };
    ($name:literal of $whose:expr, below $parent:expr) => {
        info_span!(
            target: TARGET,
            parent: $parent,
            $name,
            manager = %$whose.manager,
            node = %$whose.node,
            key = Empty,
            trace_id = Empty,
            outcome = Empty,
        )
    };
}

impl Trace {
    /// A span, and the context of what it is a part of. `parent` is the span on another node, or of
    /// somebody who told, that it belongs below.
    fn new(
        span: Span,
        whose: Whose<'_>,
        parent: Option<&TraceContext>,
        context: Option<TraceContext>,
    ) -> Self {
        if span.is_disabled() {
            return Self::of_peer(context);
        }
        let context = wire::join(&span, parent).or(context);
        if let Some(context) = &context {
            span.record("trace_id", display(context.trace_id_hex()));
        }
        if enabled!(target: TARGET, Level::DEBUG) {
            span.record("key", whose.key);
        }
        Self(Some(Arc::new(Followed { span, context })))
    }

    /// A call that begins here. Without a context of its caller's it goes on with that of the
    /// message which is being handled.
    pub(crate) fn call(
        whose: Whose<'_>,
        operation: &'static str,
        given: Option<TraceContext>,
    ) -> Self {
        let span = span!("jido.call" of whose, operation = operation);
        let handled = || HANDLED.try_with(TraceContext::clone).ok();
        let context = given.clone().or_else(handled);
        Self::new(span, whose, given.as_ref(), context)
    }

    /// A call that another node makes.
    pub(crate) fn of_peer(context: Option<TraceContext>) -> Self {
        Self(context.map(|context| {
            Arc::new(Followed {
                span: Span::none(),
                context: Some(context),
            })
        }))
    }

    /// The call's way by this node to another one.
    pub(crate) fn pass_on(&self, whose: Whose<'_>) -> Self {
        self.below(whose, |parent| span!("jido.relay" of whose, below parent))
    }

    /// The turn of the call's message.
    pub(crate) fn handle(&self, whose: Whose<'_>) -> Self {
        self.below(whose, |parent| span!("jido.handle" of whose, below parent))
    }

    /// The start of the activation that the call needs.
    pub(crate) fn activate(&self, whose: Whose<'_>) -> Self {
        self.below(
            whose,
            |parent| span!("jido.activate" of whose, below parent),
        )
    }

    /// A commit of what messages changed: a part of the first that is followed, and the
    /// others lead to it.
    pub(crate) fn commit<'a>(whose: Whose<'_>, messages: impl Iterator<Item = &'a Self>) -> Self {
        let mut messages = messages.filter(|trace| trace.0.is_some());
        let first = messages.next().unwrap_or(&UNTRACED);
        first.below(whose, |parent| {
            let span = span!("jido.commit" of whose, below parent);
            for other in messages.filter_map(Self::span) {
                span.follows_from(other);
            }
            span
        })
    }

    /// A span below the one here, and else below the one on another node.
    fn below(&self, whose: Whose<'_>, span: impl FnOnce(Option<tracing::Id>) -> Span) -> Self {
        let parent = self.span().and_then(Span::id);
        let remote = self.context().filter(|_| parent.is_none());
        Self::new(span(parent), whose, remote, self.context().cloned())
    }

    /// Its span, if anybody takes it.
    pub(crate) fn span(&self) -> Option<&Span> {
        let followed = self.0.as_ref()?;
        (!followed.span.is_disabled()).then_some(&followed.span)
    }

    /// What goes along to other nodes.
    pub(crate) fn context(&self) -> Option<&TraceContext> {
        self.0.as_ref()?.context.as_ref()
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.0.is_some()
    }

    /// Says how it ended.
    pub(crate) fn ended(&self, outcome: &'static str) {
        if let Some(span) = self.span() {
            span.record("outcome", outcome);
        }
    }

    /// Says how a call ended, as `jido_calls_total` does.
    pub(crate) fn call_ended(&self, error: Option<ErrorKind>) {
        self.ended(error.map_or("ok", ErrorKind::label));
    }

    /// Makes a call within its span, and says there how it ended.
    pub(crate) async fn calling<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let ended = self.within(call).await;
        self.call_ended(ended.as_ref().err().map(Error::kind));
        ended
    }

    /// Does something within the span.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> T {
        match self.span() {
            Some(span) => work.instrument(span.clone()).await,
            None => work.await,
        }
    }

    /// Has an agent handle the message: its own calls go on with the trace.
    pub(crate) async fn handling<T>(&self, work: impl Future<Output = T>) -> T {
        match self.context() {
            Some(context) => HANDLED.scope(context.clone(), self.within(work)).await,
            None => self.within(work).await,
        }
    }
}
