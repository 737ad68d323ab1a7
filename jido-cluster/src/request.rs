//! One message on its way out: its time-out, its identity, and what became of it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use jido_core::{Agent, RequestId, Timestamp, TraceContext};

use crate::delivery::{Answered, Reply};
use crate::error::{Error, ErrorKind};
use crate::handle::{DEFAULT_CALL_TIMEOUT, Handle, MAX_CALL_TIMEOUT};
use crate::router::{Given, RequestOptions};
use crate::runtime::{self, SHARDS};
use crate::telemetry::Trace;

/// Numbers a client's requests, in a row for each shard.
#[derive(Debug)]
pub(crate) struct Numbers {
    client: u128,
    rows: [CachePadded<AtomicU64>; SHARDS],
}

impl Numbers {
    pub(crate) fn new(client: u128) -> Self {
        Self {
            client,
            rows: Default::default(),
        }
    }

    pub(crate) fn next(&self) -> RequestId {
        let row = runtime::shard();
        let count = self.rows[row].fetch_add(1, Ordering::Relaxed);
        RequestId::new(self.client, count * SHARDS as u64 + row as u64)
    }
}

/// A message that is about to be sent.
#[must_use = "a request is sent by `send` or `cast`"]
pub struct Request<'a, A: Agent> {
    handle: &'a Handle<A>,
    key: &'a str,
    message: A::Message,
    timeout: Duration,
    id: Option<RequestId>,
    issued_at: Option<Timestamp>,
    trace: Option<TraceContext>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOutcome<R> {
    /// It was applied, and this was its reply.
    Committed(R),
    /// It was not applied.
    NotApplied,
    /// The agent doesn't remember that far back, or keeps no record of requests.
    Unknown,
}

impl<'a, A: Agent> Request<'a, A> {
    pub(crate) fn new(handle: &'a Handle<A>, key: &'a str, message: A::Message) -> Self {
        Self {
            handle,
            key,
            message,
            timeout: DEFAULT_CALL_TIMEOUT,
            id: None,
            issued_at: None,
            trace: None,
        }
    }

    /// How long to wait: more than zero, [`MAX_CALL_TIMEOUT`] at the most,
    /// [`DEFAULT_CALL_TIMEOUT`] by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The identity of the request, the same for every retry of it, instead of one
    /// that the handle numbers. The agent sees it as
    /// [`Context::request_id`](jido_core::Context::request_id), and applies it once,
    /// however often and from wherever it is sent, for as long as it remembers
    /// requests ([`ManagerBuilder::request_window`](crate::ManagerBuilder::request_window)).
    /// The reply is kept with it also where the message changed nothing, so that a retry is
    /// never carried out after another was answered: such a request commits, a read too.
    /// One that failed leaves no record, and a retry of it is handled anew.
    ///
    /// Beyond that a retry is refused if the id tells when it was made: a UUID of version
    /// 7 does, and for any other [`issued_at`](Request::issued_at) does. One that doesn't
    /// tell is taken to be made now, and would be applied again.
    pub fn id(mut self, id: impl Into<RequestId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// When the request was made, the same for every retry of it; for ids of the
    /// caller's own. That of a UUID of version 7 counts before this. By this time, or by that of a UUID of version 7, it may be 5 minutes ahead of
    /// this node's clock at the most.
    pub fn issued_at(mut self, at: Timestamp) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// The trace that the request belongs to, as its caller got it: from the header `traceparent` of an
    /// HTTP request, say. The agent's node, and those that the agent calls in turn, have it in
    /// their [spans](crate::telemetry), and the agent sees it as
    /// [`Context::trace`](jido_core::Context::trace).
    ///
    /// Without it, a call that an agent makes while it handles a message goes on with the trace of that.
    ///
    /// ```
    /// # use jido_cluster::*;
    /// # async fn example<A: Agent>(handle: Handle<A>, message: A::Message) -> Result<(), Error> {
    /// let trace: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
    /// let reply = handle.request("counter-1", message).trace_context(trace).send().await?;
    /// # Ok(()) }
    /// ```
    pub fn trace_context(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Sends the message and waits for the reply.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub async fn send(self) -> Result<Reply<A::Reply>, Error> {
        let router = self.handle.router();
        let (answered, owner) = self.answered().await?;
        let Answered {
            value,
            epoch,
            revision,
        } = answered;
        let owner = owner.unwrap_or_else(|| router.core().name.clone());
        Ok(Reply {
            value,
            owner,
            epoch,
            revision,
        })
    }

    /// Not an `async fn`, whose future would hold the whole request besides what it makes
    /// of it.
    pub(crate) fn answered(self) -> impl Future<Output = Result<Given<A::Reply>, Error>> + Send {
        let options = self.options(false);
        let (handle, key, message) = (self.handle, self.key, self.message);
        async move {
            let router = handle.router();
            let given = router.request(key, message, options?).await?;
            given.ok_or_else(|| {
                Error::new(
                    ErrorKind::Incompatible,
                    "the agent's node took the call for a cast",
                )
                .with_executed(jido_core::Executed::Maybe)
            })
        }
    }

    /// Sends the message and waits until the agent has taken it.
    ///
    /// # Errors
    ///
    /// As [`Handle::cast`].
    pub async fn cast(self) -> Result<(), Error> {
        let options = self.options(true)?;
        self.handle
            .router()
            .request(self.key, self.message, options)
            .await
            .map(drop)
    }

    fn options(&self, cast: bool) -> Result<RequestOptions, Error> {
        if self.timeout.is_zero() || self.timeout > MAX_CALL_TIMEOUT {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "timeout is {:?}: it is more than 0 and at most 24 h",
                    self.timeout
                ),
            ));
        }
        let request = self.handle.next_request(self.id, self.issued_at)?;
        let router = self.handle.router();
        let operation = if cast { "cast" } else { "call" };
        let trace = Trace::call(router.whose(self.key), operation, self.trace.clone());
        Ok(RequestOptions {
            cast,
            request: Some(request),
            timeout: self.timeout,
            trace,
        })
    }
}

impl<A: Agent> fmt::Debug for Request<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("key", &self.key)
            .field("timeout", &self.timeout)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
