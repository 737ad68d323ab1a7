//! Work for the writer: operations, and the jobs that carry them there and
//! their outcomes back.

use heed::RwTxn;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::tables::Tables;
use crate::Error;

/// A write transaction, as an operation sees it.
pub(super) struct Writing<'a, 'e> {
    pub(super) tables: &'a Tables,
    pub(super) txn: &'a mut RwTxn<'e>,
    /// Room for a record of an agent: nearly every operation writes one.
    pub(super) record: Vec<u8>,
}

/// One thing to do inside a write transaction. It may be run again, when the
/// transaction was given up.
pub(super) trait Operation: Send + 'static {
    /// What its caller is told.
    type Outcome: Send + 'static;

    /// Does it. What it refuses it refuses before it has written anything, since the
    /// transaction goes on without it.
    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault>;

    /// The outcome when nothing was written, for a reason.
    fn failed(error: Error) -> Self::Outcome;

    /// The outcome when nobody knows whether it was written.
    fn unknown(error: Error) -> Self::Outcome;

    /// The bytes that wait with it in the queue, roughly.
    fn bytes(&self) -> usize {
        0
    }

    /// Whether it has to go on when the map is full, since it makes room or
    /// keeps a node alive.
    fn may_use_reserve(&self) -> bool {
        false
    }
}

/// An operation on its way, whatever its outcome's type.
pub(super) trait Job: Send {
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
    fn may_use_reserve(&self) -> bool;
}

/// An operation whose caller waits.
struct Pending<O: Operation> {
    operation: O,
    bytes: usize,
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
    fn run(&mut self, writing: &mut Writing<'_, '_>) -> Result<(), heed::Error> {
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

    fn may_use_reserve(&self) -> bool {
        self.operation.may_use_reserve()
    }
}
