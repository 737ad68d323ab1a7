//! What a client does about an outcome that it doesn't know, and about one that it knows.

use std::sync::Arc;
use std::time::Duration;

use jido_cluster::RequestOutcome;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::tries::{Sending, Tried};
use super::{PAUSE, Worker};
use crate::history::{Answer, Outcome};
use crate::sim::workload::ledger::Worked;
use crate::sim::workload::plan::{self, Doubt};
use crate::wiring;

/// When no try of a request can be on its way any more: its time-out is over, nothing is
/// held by a cut or a pause, and what storage does late is done.
const ALL_IS_OVER: Duration = Duration::from_secs(25);

/// How often a request is asked after.
const INQUIRIES: usize = 50;

/// Those who wait to ask what became of a request.
#[derive(Clone, Default)]
pub(in crate::sim::workload) struct Inquiries(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl Inquiries {
    /// Waits until all have asked.
    pub(in crate::sim::workload) async fn end(&self) {
        let all = std::mem::take(&mut *self.0.lock());
        for inquiry in all {
            // One that panicked has learned nothing; that is a violation by itself.
            let _ = inquiry.await;
        }
    }
}

impl<A: Worked> Worker<A> {
    /// The outcome of a request of which nobody can tell whether it was executed.
    pub(super) async fn doubts(&self, sending: &Sending, doubt: Doubt) -> Outcome {
        if doubt != Doubt::Ask {
            return Outcome::Unknown;
        }
        match self.ask_after(self.home, sending).await {
            Some(RequestOutcome::Committed(answer)) => Outcome::Answered(answer),
            // A try may still be on its way.
            _ => Outcome::Unknown,
        }
    }

    /// Asks what became of a request once that is final, beside all else that the client
    /// does, and writes it down.
    pub(super) fn ask_later(&self, sending: Sending) {
        if sending.place == plan::SCRATCH {
            return;
        }
        let me = self.clone();
        let inquiry = wiring::spawn(async move {
            tokio::time::sleep(ALL_IS_OVER).await;
            for turn in 0..INQUIRIES {
                let home = (me.home + turn) % me.nodes;
                let learned = match Box::pin(me.ask_after(home, &sending)).await {
                    Some(RequestOutcome::Committed(answer)) => Some(Outcome::Answered(answer)),
                    Some(RequestOutcome::NotApplied) => Some(Outcome::NotExecuted),
                    Some(_) => None,
                    None => {
                        tokio::time::sleep(5 * PAUSE).await;
                        continue;
                    }
                };
                if let Some(outcome) = learned {
                    me.learn(sending.id, outcome);
                }
                return;
            }
        });
        self.inquiries.0.lock().push(inquiry);
    }

    fn learn(&self, id: u64, outcome: Outcome) {
        let ended = self.now();
        if let Some(op) = self.history.lock().iter_mut().find(|op| op.id == id) {
            (op.outcome, op.ended) = (outcome, ended);
        }
    }

    /// Asks a node once what became of a request; none where it can't tell.
    async fn ask_after(&self, home: usize, sending: &Sending) -> Option<RequestOutcome<Answer>> {
        let request = sending.name?.id;
        let key = plan::key(sending.place);
        let client = self.cluster.client(&plan::node(home))?;
        let asked = client
            .ask(|handle| async move { handle.outcome(&key, request).await })
            .await;
        let world = self.cluster.world();
        let (me, id) = (self.number, sending.id);
        world.note(format_args!("cli {me} {id} became {asked:?}"));
        let (kind, outcome) = match asked?.ok()? {
            RequestOutcome::Committed(reply) => {
                let answer = Answer {
                    value: reply.value,
                    done: reply.done,
                    by: None,
                };
                ("outcome: committed", RequestOutcome::Committed(answer))
            }
            RequestOutcome::NotApplied => ("outcome: not applied", RequestOutcome::NotApplied),
            _ => ("outcome: unknown", RequestOutcome::Unknown),
        };
        world.count(kind);
        Some(outcome)
    }

    /// Sends a request that was answered once more, at the next node, and writes down
    /// what it is answered then.
    pub(super) async fn repeat(&mut self, sending: &Sending, pause: Duration) {
        if sending.place == plan::SCRATCH {
            return;
        }
        tokio::time::sleep(pause).await;
        self.move_on();
        let Tried::Answered(answer) = self.try_once(self.home, sending).await else {
            return;
        };
        self.answered_again(sending.id, answer);
    }

    /// Writes down what a further try was answered of a request that had its answer.
    pub(super) fn answered_again(&self, id: u64, answer: Answer) {
        self.cluster.world().count("request answered again");
        let mut history = self.history.lock();
        if let Some(op) = history.iter_mut().find(|op| op.id == id) {
            op.repeats.push(answer);
        }
    }
}
