//! A key of its own on the node that is about to be killed, and how soon it
//! serves again.

use std::time::{Duration, Instant};

use jido_cluster::Executed;
use jido_testkit::history::{Action, Answer, By, Operation, Outcome};
use jido_testkit::process::DemoClient;

use super::demo::{Failure, now};

/// When the wait for a success is given up.
const LIMIT: Duration = Duration::from_secs(30);

/// Above all numbers that the load gives its operations.
const FIRST_ID: u64 = 1 << 63;

const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Probe {
    pub(super) key: String,
    origin: Instant,
    operations: Vec<Operation>,
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
                    operations: Vec::new(),
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

    pub(super) fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    async fn increment(&mut self, client: &DemoClient) -> Result<String, Failure> {
        let micros = |origin: Instant| u64::try_from(origin.elapsed().as_micros());
        let invoked = micros(self.origin)?;
        let answer = client.inc(&self.key).await;
        let ended = micros(self.origin)?;
        let outcome = match &answer {
            Ok(reply) => Outcome::Answered(Answer {
                value: reply.value,
                done: true,
                by: Some(By {
                    epoch: reply.epoch,
                    revision: reply.revision,
                }),
            }),
            Err(error) if error.executed() == Executed::No => Outcome::NotExecuted,
            Err(_) => Outcome::Unknown,
        };
        self.operations.push(Operation {
            id: FIRST_ID + self.operations.len() as u64,
            client: FIRST_ID,
            key: self.key.clone(),
            action: Action::Add(1),
            invoked,
            first_try: None,
            ended,
            outcome,
            repeats: Vec::new(),
        });
        Ok(answer?.owner)
    }
}
