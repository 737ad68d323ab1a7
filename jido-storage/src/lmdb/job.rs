//! Work for the writer: operations, and the jobs that carry them there and
//! their outcomes back.

use heed::RwTxn;
use jido_core::AgentId;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::tables::{AgentRow, Tables};
use crate::Error;

/// A write transaction, as an operation sees it.
pub(super) struct Writing<'a, 'e> {
    pub(super) tables: &'a Tables,
    pub(super) txn: &'a mut RwTxn<'e>,
    /// Room for a record of an agent: nearly every operation writes one.
    pub(super) record: Vec<u8>,
    /// The row of the agent whose turn it is, where it was found when the order of the
    /// batch was made, and nothing has changed it since.
    found: Option<AgentRow>,
    /// The slot of the last operation on an agent that had one.
    last: Option<u64>,
}

impl<'a, 'e> Writing<'a, 'e> {
    pub(super) fn new(tables: &'a Tables, txn: &'a mut RwTxn<'e>) -> Self {
        Self {
            tables,
            txn,
            record: Vec::new(),
            found: None,
            last: None,
        }
    }

    /// The row of the operation's agent, if it has one. `key` is its
    /// [`agent_key`](super::tables::agent_key).
    pub(super) fn agent(&mut self, key: &[u8], id: &AgentId) -> Result<Option<AgentRow>, Fault> {
        match self.found.take() {
            Some(row) => Ok(Some(row)),
            None => self.tables.agent(self.txn, key, id),
        }
    }
}

/// Where an operation writes most. A batch is run in this order, since a page that comes
/// after the last one costs less than one anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Among the few records of nodes.
    Nodes,
    /// Behind the records of the agents with smaller slots.
    Slot(u64),
    /// Behind all of them.
    Last,
}

/// One thing to do inside a write transaction. It may be run again, when the
/// transaction was given up.
pub(super) trait Operation: Send + 'static {
    /// What its caller is told.
    type Outcome: Send + 'static;

    /// Does it. What it refuses it refuses before it has written anything, since the
    /// transaction goes on without it.
    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault>;

    /// The agent that it works on: where its row stands, and its id. None for a node.
    fn agent(&self) -> Option<(&[u8], &AgentId)> {
        None
    }

    /// The outcome when nothing was written, for a reason.
    fn failed(error: Error) -> Self::Outcome;

    /// The outcome when nobody knows whether it was written.
    fn unknown(error: Error) -> Self::Outcome;

    /// The bytes that wait with it in the queue, roughly.
    fn bytes(&self) -> usize {
        0
    }

    /// Whether it is done before all that has come earlier: for one that waits for
    /// nothing that anybody else has handed in, since its place in a batch
    /// ([`Place::Nodes`]) is before the others, too.
    fn goes_first(&self) -> bool {
        false
    }

    /// Whether it has to go on when the map is full, since it makes room or
    /// keeps a node alive.
    fn may_use_reserve(&self) -> bool {
        false
    }
}

/// An operation on its way, whatever its outcome's type.
pub(super) trait Job: Send {
    /// Finds out where it will write, before anything is written.
    fn find(&mut self, writing: &Writing<'_, '_>);
    /// Where that is. The jobs of one agent are all at its place.
    fn place(&self) -> Place;
    /// Runs it and keeps the outcome; fails only when the transaction has to be
    /// given up.
    fn run(&mut self, writing: &mut Writing<'_, '_>) -> Result<(), heed::Error>;
    /// Answers with the outcome, which is durable.
    fn done(self: Box<Self>);
    /// Answers that nothing was written.
    fn fail(self: Box<Self>, error: Error);
    /// Answers that nobody knows.
    fn lose(self: Box<Self>, error: Error);
    fn bytes(&self) -> usize;
    fn goes_first(&self) -> bool;
    fn may_use_reserve(&self) -> bool;
}

/// An operation whose caller waits.
struct Pending<O: Operation> {
    operation: O,
    bytes: usize,
    found: Option<AgentRow>,
    outcome: Option<O::Outcome>,
    reply: oneshot::Sender<O::Outcome>,
}

/// Makes a job of an operation, and the place where its outcome will be.
pub(super) fn job<O: Operation>(operation: O) -> (Box<dyn Job>, oneshot::Receiver<O::Outcome>) {
    let (reply, outcome) = oneshot::channel();
    let bytes = operation.bytes();
    (
        Box::new(Pending {
            operation,
            bytes,
            found: None,
            outcome: None,
            reply,
        }),
        outcome,
    )
}

impl<O: Operation> Pending<O> {
    fn answer(self, outcome: O::Outcome) {
        // Nobody may wait any more: the work went on all the same, as it should.
        let _gone = self.reply.send(outcome);
    }
}

impl<O: Operation> Job for Pending<O> {
    fn find(&mut self, writing: &Writing<'_, '_>) {
        // One whose row can't be read is refused when its turn comes.
        self.found = self.operation.agent().and_then(|(key, id)| {
            let found = writing.tables.agent(writing.txn, key, id);
            found.ok().flatten()
        });
    }

    fn place(&self) -> Place {
        match (&self.found, self.operation.agent()) {
            (Some(row), _) => Place::Slot(row.slot),
            (None, Some(_)) => Place::Last,
            (None, None) => Place::Nodes,
        }
    }

    fn run(&mut self, writing: &mut Writing<'_, '_>) -> Result<(), heed::Error> {
        let slot = self.found.as_ref().map(|row| row.slot);
        // The operation before it may have changed the row: those of an agent stand together.
        writing.found = self.found.take().filter(|_| slot != writing.last);
        writing.last = slot;
        self.outcome = Some(match self.operation.run(writing) {
            Ok(outcome) => outcome,
            Err(Fault::Refused(error)) => O::failed(error),
            Err(Fault::Engine(error)) => return Err(error),
        });
        Ok(())
    }

    fn done(mut self: Box<Self>) {
        // Without an outcome the reply is dropped, which its caller takes for unknown.
        if let Some(outcome) = self.outcome.take() {
            self.answer(outcome);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        self.answer(O::failed(error));
    }

    fn lose(self: Box<Self>, error: Error) {
        self.answer(O::unknown(error));
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn goes_first(&self) -> bool {
        self.operation.goes_first()
    }

    fn may_use_reserve(&self) -> bool {
        self.operation.may_use_reserve()
    }
}
