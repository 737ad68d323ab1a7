//! Whether nodes serve keys.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use uuid::Uuid;

use super::Load;
use super::clients::{PAUSE, Shared, Tried, request_id};
use crate::history::{Action, Outcome};
use crate::process::{DemoClient, Inc};
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// How many requests are under way at once.
const AT_ONCE: usize = 32;

/// How long one try waits for its answer. The next try has the same identity.
const TRY: Duration = Duration::from_secs(2);

/// The client in the history: no other has this number.
const CLIENT: usize = usize::MAX;

impl Load {
    /// Increments each of these keys by way of each of these nodes, beside the clients, and gives the time
    /// from `since` until the last one was acknowledged. Each is tried again, under one identity and at
    /// the same node. They are in the history with all others.
    ///
    /// # Errors
    ///
    /// [`TooSlow`](ErrorKind::TooSlow) when that takes longer than `within`, with the last error; else the error of
    /// an increment that can't be tried again.
    pub async fn sweep(
        &self,
        nodes: &[DemoClient],
        keys: &[String],
        since: Instant,
        within: Duration,
    ) -> Result<Duration, Error> {
        let mut rng = fastrand::Rng::new();
        let mut requests = Vec::new();
        for key in keys {
            for node in nodes {
                requests.push((node.with_timeout(TRY), key, request_id(&mut rng)));
            }
        }
        rng.shuffle(&mut requests);
        // All of them to their end: what was sent has to be in the history.
        let outcomes: Vec<Result<(), Error>> = stream::iter(requests)
            .map(|(node, key, id)| self.shared.insist(node, key, id, since + within))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let took = now().duration_since(since);
        outcomes.into_iter().collect::<Result<(), Error>>()?;
        match took > within {
            false => Ok(took),
            true => Err(Error::new(
                ErrorKind::TooSlow,
                format!("the nodes served the keys after {took:?} only, not in {within:?}"),
            )),
        }
    }
}

impl Shared {
    /// One increment at one node, tried again until it is acknowledged or the time has run out.
    async fn insist(
        &self,
        node: DemoClient,
        key: &str,
        id: Uuid,
        deadline: Instant,
    ) -> Result<(), Error> {
        let inc = Inc {
            request: Some(id),
            ..Inc::default()
        };
        let invoked = now();
        let (outcome, result) = loop {
            match node.inc_with(key, inc).await {
                Ok(reply) => {
                    self.acknowledged.fetch_add(1, Ordering::Release);
                    break (self.answered(reply, true), Ok(()));
                }
                Err(error) if error.is_retryable() && now() < deadline => {
                    self.count(&error);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    let error = match error.is_retryable() {
                        true => Error::new(
                            ErrorKind::TooSlow,
                            format!("{} does not serve {key:?} in time: {error}", node.address()),
                        ),
                        false => error,
                    };
                    // An earlier try may have been executed, whatever the last one was.
                    break (Outcome::Unknown, Err(error));
                }
            }
        };
        let tried = Tried {
            first: invoked,
            invoked,
            ended: now(),
            outcome,
        };
        let operation = self.operation(CLIENT, key, Action::Add(1), tried);
        self.swept.lock().push(operation);
        result
    }
}
