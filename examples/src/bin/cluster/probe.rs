//! A key of its own on the node that is about to be killed, and how soon it
//! serves again.

use std::time::{Duration, Instant};

use jido_cluster::Executed;
use jido_testkit::counters::{History, Increment, Outcome};
use jido_testkit::process::DemoClient;

use super::demo::{Failure, now};

/// When the wait for a success is given up.
const LIMIT: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Probe {
    pub(super) key: String,
    origin: Instant,
    history: History,
}

impl Probe {
    /// Finds a key that is placed on `node` and makes its counter run there.
    pub(super) async fn on(node: &str, client: &DemoClient) -> Result<Self, Failure> {
        for number in 0..1_000 {
            let key = format!("probe-{number}");
            if client.owner(&key).await?.owner == node {
                let mut probe = Self {
                    key,
                    origin: now(),
                    history: History::default(),
                };
                probe.increment(client).await?;
                return Ok(probe);
            }
        }
        Err(Failure::new(format!(
            "none of 1,000 keys is placed on {node}"
        )))
    }

    /// Increments until that succeeds, and gives the time since `killed` and the
    /// node that has the key now.
    pub(super) async fn until_success(
        &mut self,
        client: &DemoClient,
        killed: Instant,
    ) -> Result<(Duration, String), Failure> {
        loop {
            match self.increment(client).await {
                Ok(owner) => return Ok((now() - killed, owner)),
                Err(error) if now() - killed > LIMIT => return Err(error),
                Err(_not_yet) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    pub(super) fn into_history(self) -> History {
        self.history
    }

    async fn increment(&mut self, client: &DemoClient) -> Result<String, Failure> {
        let started = self.origin.elapsed();
        let answer = client.inc(&self.key).await;
        let ended = self.origin.elapsed();
        let outcome = match &answer {
            Ok(reply) => Some(Outcome::Acknowledged(reply.value)),
            Err(error) => match error.executed() {
                Executed::No => None,
                Executed::Maybe => Some(Outcome::Unknown),
                Executed::Yes => Some(Outcome::Applied),
            },
        };
        if let Some(outcome) = outcome {
            self.history.record(
                &self.key,
                Increment {
                    started,
                    ended,
                    outcome,
                },
            );
        }
        Ok(answer?.owner)
    }
}
