//! A client: does its tasks one after the other, and writes down what it learns.

use std::sync::Arc;
use std::time::Duration;

use jido_cluster::{Executed, RequestId};
use parking_lot::Mutex;

use super::ledger::{Ledger, LedgerMessage};
use super::plan::{self, Ask, Task};
use crate::check::recovery::Probe;
use crate::history::{Action, Answer, Operation, Outcome};
use crate::sim::SimCluster;

/// How long a client goes on trying what is said not to have been executed.
const TRIES: Duration = Duration::from_secs(8);

/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(40);

/// A client, and the node that it talks to.
pub(super) struct Worker {
    pub(super) number: u64,
    pub(super) cluster: SimCluster<Ledger>,
    pub(super) nodes: usize,
    pub(super) home: usize,
    pub(super) history: Arc<Mutex<Vec<Operation>>>,
}

impl Worker {
    fn now(&self) -> u64 {
        self.cluster.world().now().as_micros() as u64
    }

    /// Does a task.
    pub(super) async fn work(&mut self, task: &Task) {
        let wait = Duration::from_millis(task.at).saturating_sub(self.cluster.world().now());
        tokio::time::sleep(wait).await;
        let id = task.number * 4;
        match task.ask {
            Ask::One(place, action) => {
                self.operate(id, place, action, task).await;
            }
            Ask::Increase(place, by) => {
                if let Outcome::Answered(read) = self.operate(id, place, Action::Read, task).await {
                    let swap = Action::Swap {
                        expect: read.value,
                        to: read.value + by,
                    };
                    self.operate(id + 1, place, swap, task).await;
                }
            }
            Ask::Transfer(from, to, amount) => {
                let taken = self.operate(id, from, Action::Take(amount), task).await;
                if matches!(taken, Outcome::Answered(answer) if answer.done) {
                    self.operate(id + 1, to, Action::Add(amount), task).await;
                }
            }
            Ask::Cast(place, action) => self.cast(id, place, action).await,
            Ask::Hibernate(place) => self.errand(place, false).await,
            Ask::Delete => self.errand(plan::SCRATCH, true).await,
        }
    }

    /// Sends an operation once and never learns what came of it, unless it is said not
    /// to have been executed.
    async fn cast(&mut self, id: u64, place: usize, action: Action) {
        let Some(client) = self.cluster.client(&plan::node(self.home)) else {
            return;
        };
        let invoked = self.now();
        let key = plan::key(place);
        let message = LedgerMessage {
            id,
            action,
            kept: plan::kept(place),
            takes: 0,
        };
        let world = self.cluster.world().clone();
        world.note(format_args!(
            "cli {} {id} casts {key} {action:?}",
            self.number
        ));
        let (to, request) = (key.clone(), RequestId::new(u128::from(self.number), id));
        let asked = client
            .ask(|handle| async move { handle.request(&to, message).id(request).cast().await })
            .await;
        let outcome = match asked {
            Some(Err(error)) if error.executed() == Executed::No => Outcome::NotExecuted,
            Some(Err(_)) | None => Outcome::Unknown,
            Some(Ok(())) => {
                world.count("cast taken");
                Outcome::Unknown
            }
        };
        world.note(format_args!("cli {} {id} {outcome:?}", self.number));
        self.record(id, key, action, invoked, outcome);
    }

    fn record(&self, id: u64, key: String, action: Action, invoked: u64, outcome: Outcome) {
        self.history.lock().push(Operation {
            id,
            client: self.number,
            key,
            action,
            invoked,
            ended: self.now(),
            outcome,
        });
    }

    /// Lets an agent hibernate, or deletes it.
    async fn errand(&mut self, place: usize, delete: bool) {
        let key = plan::key(place);
        let Some(client) = self.cluster.client(&plan::node(self.home)) else {
            return;
        };
        let asked = client
            .ask(|handle| {
                let key = key.clone();
                async move {
                    match delete {
                        true => handle.delete(&key).await.map(|()| true),
                        false => handle.stop(&key).await,
                    }
                }
            })
            .await;
        let how = match asked {
            Some(Ok(ran)) => format!("ran: {ran}"),
            Some(Err(error)) => error.to_string(),
            None => "gone".to_owned(),
        };
        self.cluster
            .world()
            .note(format_args!("cli {} ends {key}: {how}", self.number));
    }

    /// Carries out one operation, and again as long as it is said not to have been
    /// executed, at one node after the other.
    pub(super) async fn operate(
        &mut self,
        id: u64,
        place: usize,
        action: Action,
        task: &Task,
    ) -> Outcome {
        let invoked = self.now();
        let key = plan::key(place);
        let (world, me) = (self.cluster.world().clone(), self.number);
        world.note(format_args!("cli {me} {id} {key} {action:?}"));
        let outcome = loop {
            let (outcome, why) = self.try_once(id, place, action, task).await;
            world.note(format_args!("cli {me} {id} {outcome:?} {why}"));
            let late = self.now() > invoked + TRIES.as_micros() as u64;
            match outcome {
                Some(outcome) => break outcome,
                None if late => break Outcome::NotExecuted,
                None => {
                    self.home = (self.home + 1) % self.nodes;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        if place != plan::SCRATCH {
            self.record(id, key, action, invoked, outcome);
        }
        outcome
    }

    /// One try; no outcome when it was not executed and can be tried again.
    async fn try_once(
        &self,
        id: u64,
        place: usize,
        action: Action,
        task: &Task,
    ) -> (Option<Outcome>, String) {
        let Some(client) = self.cluster.client(&plan::node(self.home)) else {
            return (None, "down".to_owned());
        };
        let message = LedgerMessage {
            id,
            action,
            kept: plan::kept(place),
            takes: task.takes,
        };
        let patience = Duration::from_millis(task.patience);
        let asked = client
            .ask(|handle| async move {
                handle
                    .request(&plan::key(place), message)
                    .id(RequestId::new(u128::from(self.number), id))
                    .timeout(patience)
                    .send()
                    .await
            })
            .await;
        match asked {
            None => (Some(Outcome::Unknown), "gone".to_owned()),
            Some(Ok(reply)) => {
                let answer = Answer {
                    value: reply.value.value,
                    done: reply.value.done,
                    epoch: reply.epoch.0,
                    revision: reply.revision.0,
                };
                (Some(Outcome::Answered(answer)), reply.owner.to_string())
            }
            Some(Err(error)) => {
                let outcome = match error.executed() {
                    Executed::No if error.is_retryable() => None,
                    Executed::No => Some(Outcome::NotExecuted),
                    _ => Some(Outcome::Unknown),
                };
                (outcome, format!("{:?} {error}", error.kind()))
            }
        }
    }

    /// Tries a key until it serves, with one operation after the other.
    pub(super) async fn probe(&mut self, place: usize, from: u64, within: Duration) -> Probe {
        let start = self.cluster.world().now();
        let action = match place % 4 {
            1 => Action::Note,
            _ => Action::Add(1),
        };
        let mut took = None;
        let mut last = String::new();
        for id in from.. {
            let task = Task {
                number: 0,
                client: 0,
                at: 0,
                patience: 1_000,
                takes: 0,
                ask: Ask::One(place, action),
            };
            let outcome = self.operate(id, place, action, &task).await;
            let passed = self.cluster.world().now() - start;
            last = format!("{outcome:?}");
            if matches!(outcome, Outcome::Answered(_)) {
                took = Some(passed);
            }
            if took.is_some() || passed > within {
                break;
            }
            self.home = (self.home + 1) % self.nodes;
        }
        Probe {
            key: plan::key(place),
            took,
            last,
        }
    }
}
