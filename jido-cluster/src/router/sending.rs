//! Messages that nobody waits for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jido_core::{Agent, AgentKey, Executed, RequestTry};

use super::request::RequestOptions;
use super::{Router, Target};
use crate::delivery::{Delivery, Refusal, ReplyTo, Sender};
use crate::error::{Error, ErrorKind};
use crate::local::Found;
use crate::runtime;
use crate::telemetry::Trace;

/// How many of a manager's messages may be on their way to agents of other nodes, or wait to
/// be sent again, as long as nobody waits for them: as many as may be open to one peer.
const MAX_UNDER_WAY: usize = 65_536;

/// The messages that are on their way.
#[derive(Debug, Default)]
pub(super) struct Sending {
    under_way: AtomicUsize,
    /// How many were dropped.
    dropped: AtomicU64,
}

/// One that is on its way.
struct UnderWay<A: Agent>(Arc<Router<A>>);

impl<A: Agent> UnderWay<A> {
    fn begin(router: Arc<Router<A>>) -> Option<Self> {
        let before = router.sending.under_way.fetch_add(1, Ordering::Relaxed);
        // It gives its place back, also if there is none.
        let one = Self(router);
        (before < MAX_UNDER_WAY).then_some(one)
    }
}

impl<A: Agent> Drop for UnderWay<A> {
    fn drop(&mut self) {
        self.0.sending.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<A: Agent> Router<A> {
    /// Sends a message that nobody waits for. When this returns, it is on its way
    /// in order with what the same sender sent before, as long as the agent stays
    /// where it is. After an error it is not, and was not executed.
    pub(crate) fn send(
        &self,
        key: &AgentKey,
        message: A::Message,
        options: RequestOptions,
    ) -> Result<(), Error> {
        let Some(router) = self.me.upgrade() else {
            return Err(stopped());
        };
        let hash = self.key_hash(key.as_str());
        let limit = self.settings.mailbox_limit;
        let here = match self.local.find(key.as_str(), |local| local.is_full(limit)) {
            Found::Running(true) => return Err(Refusal::Overloaded.into_error()),
            Found::Running(false) | Found::Parked => true,
            Found::Nothing => self.target(key.as_str(), hash, false) == Target::Here,
        };
        if here {
            let deadline = self.core.deadlines.now() + options.timeout;
            let reply = ReplyTo::Nobody(Box::new(Sender {
                router,
                key: key.clone(),
            }));
            let RequestOptions { request, trace, .. } = options;
            let delivery = Delivery::new(message, true, request, deadline, reply, trace);
            self.deliver_here(key, delivery);
            return Ok(());
        }
        let under_way = UnderWay::begin(router.clone());
        let under_way = under_way.ok_or_else(|| Refusal::Overloaded.into_error())?;
        let mut sent = Box::pin(under_way.sent(key.clone(), message, options));
        // The first try is begun now, and not by a task, which may be overtaken by the next one's.
        // Whoever is to be woken is the task, by its own first look.
        match Pin::new(&mut sent).poll(&mut Context::from_waker(Waker::noop())) {
            // One that has got there so soon may have been executed.
            Poll::Ready(Err(error)) if error.executed() != Executed::No => {
                self.not_delivered(key, &error);
                Ok(())
            }
            Poll::Ready(sent) => sent,
            Poll::Pending => {
                spawn_told(router, key.clone(), sent);
                Ok(())
            }
        }
    }

    /// Sends a message on that nobody waits for, after it was refused somewhere. By a task:
    /// it may have been dropped anywhere, under any lock.
    pub(crate) fn send_on(
        &self,
        key: &AgentKey,
        request: Option<RequestTry>,
        deadline: Duration,
        message: A::Message,
        trace: Trace,
    ) {
        let Some(router) = self.me.upgrade() else {
            return;
        };
        let Some(under_way) = UnderWay::begin(router.clone()) else {
            return self.not_delivered(key, &Refusal::Overloaded.into_error());
        };
        let options = RequestOptions {
            cast: true,
            request,
            timeout: deadline.saturating_sub(self.core.deadlines.now()),
            trace,
        };
        let sent = Box::pin(under_way.sent(key.clone(), message, options));
        spawn_told(router, key.clone(), sent);
    }

    /// A message that nobody waits for is dropped. The log tells of the first, and then of
    /// every one that doubles their number.
    pub(crate) fn not_delivered(&self, key: &AgentKey, error: &Error) {
        let dropped = self.sending.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(
                manager = %self.settings.name, %key, %error, dropped,
                "a message that nobody waits for was not delivered"
            );
        }
    }
}

impl<A: Agent> UnderWay<A> {
    /// Ends once the agent has taken the message.
    async fn sent(
        self,
        key: AgentKey,
        message: A::Message,
        options: RequestOptions,
    ) -> Result<(), Error> {
        let router = &self.0;
        router
            .request(key.as_str(), message, options)
            .await
            .map(drop)
    }
}

/// Goes on with a message by a task, which tells if it is dropped.
fn spawn_told<A: Agent>(
    router: Arc<Router<A>>,
    key: AgentKey,
    sent: impl Future<Output = Result<(), Error>> + Send + 'static,
) {
    runtime::spawn(async move {
        if let Err(error) = sent.await {
            router.not_delivered(&key, &error);
        }
    });
}

pub(crate) fn stopped() -> Error {
    Error::new(ErrorKind::Stopped, "the manager on this node has stopped")
}
