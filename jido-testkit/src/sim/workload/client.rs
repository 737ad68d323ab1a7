//! A client: does its tasks one after the other, and writes down what it learns.

mod doubt;
mod tries;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jido_cluster::Attachment;
use parking_lot::Mutex;

use super::ledger::Worked;
use super::plan::{self, Ask, Doubt, Task};
use crate::check::deletions::Deletion;
use crate::check::recovery::Probe;
use crate::history::{Action, Operation, Outcome};
use crate::sim::SimCluster;
pub(super) use doubt::Inquiries;
use tries::{Sending, Tried};

/// How long a client goes on trying what is said not to have been executed.
const TRIES: Duration = Duration::from_secs(8);

/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(40);

/// How many agents a client keeps awake at a time.
const HELD: usize = 2;

/// How long a client waits for agents to be moved.
const REBALANCE: Duration = Duration::from_secs(5);

/// How often a request is sent again whose outcome is unknown.
const RETRIES: usize = 4;

/// A client, and the node that it talks to.
pub(super) struct Worker<A: Worked> {
    pub(super) number: u64,
    pub(super) cluster: SimCluster<A>,
    pub(super) nodes: usize,
    pub(super) home: usize,
    /// Whether it stays with its node, whatever it is told there.
    pub(super) stays: bool,
    pub(super) history: Arc<Mutex<Vec<Operation>>>,
    pub(super) inquiries: Inquiries,
    /// What it was told was deleted.
    pub(super) deletions: Arc<Mutex<Vec<Deletion>>>,
    /// What it keeps awake.
    pub(super) held: Arc<Mutex<VecDeque<Attachment<A>>>>,
}

impl<A: Worked> Clone for Worker<A> {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            history: self.history.clone(),
            inquiries: self.inquiries.clone(),
            deletions: self.deletions.clone(),
            held: self.held.clone(),
            ..*self
        }
    }
}

impl<A: Worked> Worker<A> {
    fn now(&self) -> u64 {
        self.cluster.world().now().as_micros() as u64
    }

    fn move_on(&mut self) {
        if !self.stays {
            self.home = (self.home + 1) % self.nodes;
        }
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
            Ask::Cast(place, action) => self.cast(id, place, action, task).await,
            Ask::Hibernate(place) => self.errand(place, false).await,
            Ask::Attach(place) => self.attach(place).await,
            Ask::Rebalance => self.rebalance().await,
            Ask::Delete => self.errand(plan::SCRATCH, true).await,
        }
    }

    /// Has agents moved, and writes down what was planned and done.
    async fn rebalance(&self) {
        let Some(client) = self.cluster.client(&plan::node(self.home)) else {
            return;
        };
        let asked = client.ask(|handle| async move {
            let plan = handle.rebalance_plan(3).await;
            (plan, handle.rebalance(REBALANCE).await)
        });
        let world = self.cluster.world().clone();
        let Some((plan, done)) = asked.await else {
            return;
        };
        let number = self.number;
        for migration in &plan.moves {
            world.count("migration: planned");
            world.note(format_args!("cli {number} sees {migration}"));
        }
        world.count("rebalance: asked for");
        match done {
            Ok(done) => world.note(format_args!("cli {number} rebalances: {done:?}")),
            Err(error) => {
                world.count("rebalance: not told what came of it");
                world.note(format_args!("cli {number} rebalances: {error}"));
            }
        }
    }

    /// Keeps an agent awake from now on, and the one before the last no longer.
    async fn attach(&self, place: usize) {
        let key = plan::key(place);
        let Some(client) = self.cluster.client(&plan::node(self.home)) else {
            return;
        };
        let asked = client.ask(|handle| {
            let key = key.clone();
            async move { handle.attach(&key).await }
        });
        let (asked, world) = (asked.await, self.cluster.world());
        let how = match &asked {
            Some(Ok(_)) => "attached".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "gone".to_owned(),
        };
        world.note(format_args!("cli {} attaches {key}: {how}", self.number));
        if let Some(Ok(attachment)) = asked {
            world.count("attached");
            let mut held = self.held.lock();
            held.push_back(attachment);
            if held.len() > HELD {
                held.pop_front();
            }
        }
    }

    fn record(&self, sending: &Sending, invoked: u64, outcome: Outcome) {
        self.history.lock().push(Operation {
            id: sending.id,
            client: self.number,
            key: plan::key(sending.place),
            action: sending.action,
            invoked,
            first_try: None,
            ended: self.now(),
            outcome,
            repeats: Vec::new(),
        });
    }

    /// Carries out one operation, and again as long as it is said not to have been
    /// executed, at one node after the other. What comes of doubt is as the task says.
    pub(super) async fn operate(
        &mut self,
        id: u64,
        place: usize,
        action: Action,
        task: &Task,
    ) -> Outcome {
        let invoked = self.now();
        let sending = self.sending(id, place, action, task);
        let world = self.cluster.world().clone();
        let key = plan::key(place);
        world.note(format_args!("cli {} {id} {key} {action:?}", self.number));
        let mut doubt = false;
        let mut retries = match task.doubt {
            Doubt::Retry => RETRIES,
            Doubt::Leave | Doubt::Ask | Doubt::AskLater => 0,
        };
        let (mut doubled, mut second) = (task.doubled, None);
        let outcome = loop {
            let tried = match std::mem::take(&mut doubled) {
                true => {
                    let (tried, again) = self.try_twice(&sending).await;
                    second = again;
                    tried
                }
                false => self.try_once(self.home, &sending).await,
            };
            let late = self.now() > invoked + TRIES.as_micros() as u64;
            match tried {
                Tried::Answered(answer) => break Outcome::Answered(answer),
                Tried::Never if !doubt => break Outcome::NotExecuted,
                Tried::NotYet if late && !doubt => break Outcome::NotExecuted,
                Tried::NotYet if !late => {}
                Tried::Maybe if retries > 0 => {
                    world.count("request retried");
                    (doubt, retries) = (true, retries - 1);
                }
                Tried::Maybe | Tried::Never | Tried::NotYet | Tried::Forgotten => {
                    break self.doubts(&sending, task.doubt).await;
                }
            }
            self.move_on();
            tokio::time::sleep(PAUSE).await;
        };
        world.note(format_args!("cli {} {id} {outcome:?}", self.number));
        self.record(&sending, invoked, outcome);
        if let Some(answer) = second {
            self.answered_again(id, answer);
        }
        if task.doubt == Doubt::AskLater && outcome == Outcome::Unknown {
            self.ask_later(sending);
        } else if let (Outcome::Answered(_), Some(pause)) = (outcome, task.again) {
            self.repeat(&sending, Duration::from_millis(pause)).await;
        }
        outcome
    }

    /// Tries a key at its node until it serves, with one operation after the other.
    pub(super) async fn probe(&mut self, place: usize, from: u64, within: Duration) -> Probe {
        let start = self.cluster.world().now();
        let action = match place % 4 {
            1 => Action::Note,
            _ => Action::Add(1),
        };
        let mut took = None;
        let mut last = String::new();
        for id in from.. {
            let task = Task::plain(Ask::One(place, action), 1_000);
            let outcome = self.operate(id, place, action, &task).await;
            let passed = self.cluster.world().now() - start;
            last = format!("{outcome:?}");
            if matches!(outcome, Outcome::Answered(_)) {
                took = Some(passed);
            }
            if took.is_some() || passed > within {
                break;
            }
            tokio::time::sleep(5 * PAUSE).await;
        }
        Probe {
            key: plan::key(place),
            node: plan::node(self.home),
            took,
            last,
        }
    }
}
