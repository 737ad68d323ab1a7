//! How operations become transactions: made again while that helps, and resolved
//! when their commit's outcome is unknown.

use std::sync::Arc;

use async_trait::async_trait;

use super::database::{Conflict, Database, Reading, Transaction};
use super::fault::{AtCommit, Code, Fault};
use super::lanes::{Lane, Lanes, Look, Marker, look};
use super::layout::Layout;
use crate::{Error, ErrorKind};

/// How often a commit whose outcome was unknown and that then proved not to have
/// taken effect is made again.
const UNKNOWNS: usize = 5;

/// How many transactions look for an outcome, each until its own time limit.
const LOOKS: usize = 3;

/// What an operation has done in its transaction.
pub(super) enum Step<T> {
    /// It has only read, and this came of it: there is nothing to commit.
    Read(T),
    /// It has written, and this comes of it once it is committed.
    Write(T),
}

/// Something to be done in one transaction, as often as it takes.
#[async_trait]
pub(super) trait Operation: Send + Sync {
    /// What comes of it.
    type Output: Send;

    /// What it does, for people.
    fn name(&self) -> String;

    /// Reads and writes in a transaction that may never be committed.
    async fn run(&self, layout: &Layout, tx: &dyn Transaction)
    -> Result<Step<Self::Output>, Fault>;
}

/// How an operation ended that has no outcome.
#[derive(Debug)]
pub(super) enum Ended<T> {
    /// It wrote nothing, for the reason that the error gives.
    Failed(Error),
    /// Nobody knows whether it took effect. If it did, this came of it.
    Unknown(Error, T),
}

/// What became of a commit in question.
#[derive(Debug, PartialEq, Eq)]
enum Resolution {
    Committed,
    /// It wasn't, and never will be.
    NotCommitted,
    Unknown,
}

/// The database with the storage's keys in it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) database: Arc<dyn Database>,
    pub(super) layout: Layout,
    pub(super) lanes: Lanes,
}

impl Store {
    /// Does an operation that may write.
    pub(super) async fn transact<O: Operation>(
        &self,
        operation: &O,
    ) -> Result<O::Output, Ended<O::Output>> {
        // Before it reads anything: what the lane's last transaction wrote is then among what it
        // reads. With a lane that came back while it read it would conflict with that one.
        self.with(operation, Some(self.lanes.take())).await
    }

    /// Does an operation in a lane, or in one that is taken once it has written.
    async fn with<O: Operation>(
        &self,
        operation: &O,
        mut lane: Option<Lane>,
    ) -> Result<O::Output, Ended<O::Output>> {
        let outcome = self.attempts(operation, &mut lane).await;
        // A lane with a transaction in flight is left alone for good.
        if let Some(lane) = lane
            && !matches!(outcome, Err(Ended::Unknown(..)))
        {
            self.lanes.give_back(lane);
        }
        outcome
    }

    async fn attempts<O: Operation>(
        &self,
        operation: &O,
        lane: &mut Option<Lane>,
    ) -> Result<O::Output, Ended<O::Output>> {
        let failed = |code: Code| Ended::Failed(code.error(&operation.name()));
        let mut unknowns = 0;
        let mut tx = self.database.begin().map_err(failed)?;
        loop {
            let output = match operation.run(&self.layout, &*tx).await {
                Ok(Step::Read(output)) => return Ok(output),
                Ok(Step::Write(output)) => output,
                Err(Fault::Refused(error)) => return Err(Ended::Failed(error)),
                // Nothing was sent yet, whatever the code.
                Err(Fault::Engine(code)) => {
                    tx = again(tx, code).await.map_err(failed)?;
                    continue;
                }
            };
            // Only what opens a storage has none yet, and nobody else uses its lanes then.
            let lane = &*lane.get_or_insert_with(|| self.lanes.take());
            let number = self.lanes.number();
            if let Err(code) = self.mark(&*tx, lane, number).await {
                tx = again(tx, code).await.map_err(failed)?;
                continue;
            }
            let Err(failure) = tx.commit().await else {
                return Ok(output);
            };
            let meaning = failure.code.meaning();
            if meaning.at_commit == AtCommit::Unknown {
                match self.resolve(lane, number).await {
                    Resolution::Committed => return Ok(output),
                    Resolution::Unknown => {
                        let error = failure.code.unresolved(&operation.name());
                        return Err(Ended::Unknown(error, output));
                    }
                    Resolution::NotCommitted => unknowns += 1,
                }
            }
            if !meaning.retry || unknowns > UNKNOWNS {
                return Err(failed(failure.code));
            }
            // Past its retries or its time the engine gives the reason back.
            tx = failure.again.await.map_err(|_| failed(failure.code))?;
        }
    }

    /// Adds the lane's marker to a transaction. The read conflict comes first:
    /// of a key that it has written itself a transaction takes none.
    async fn mark(&self, tx: &dyn Transaction, lane: &Lane, number: u64) -> Result<(), Code> {
        let key = self.layout.marker(self.lanes.instance, lane.0);
        let version = tx.read_version().await?;
        tx.add_conflict(&key, Conflict::Read)?;
        tx.set(&key, &Marker { number, version }.encode());
        Ok(())
    }

    /// Finds out what became of a lane's last commit, and sees to it that
    /// nothing more can, see `lanes.rs`.
    async fn resolve(&self, lane: &Lane, number: u64) -> Resolution {
        let key = self.layout.marker(self.lanes.instance, lane.0);
        for _ in 0..LOOKS {
            let Ok(mut tx) = self.database.begin() else {
                continue;
            };
            loop {
                let seen = match tx.get(&key, Reading::Guarded).await {
                    Ok(stored) => look(stored.as_deref(), number),
                    Err(code) => match again(tx, code).await {
                        Ok(anew) => {
                            tx = anew;
                            continue;
                        }
                        Err(_) => break,
                    },
                };
                match seen {
                    Look::Committed => return Resolution::Committed,
                    Look::Unreadable => return Resolution::Unknown,
                    Look::NotYet => {}
                }
                if tx.add_conflict(&key, Conflict::Write).is_err() {
                    break;
                }
                match tx.commit().await {
                    Ok(()) => return Resolution::NotCommitted,
                    // Whatever it is, the look is made again.
                    Err(failure) => match failure.again.await {
                        Ok(anew) => tx = anew,
                        Err(_) => break,
                    },
                }
            }
        }
        Resolution::Unknown
    }

    /// Does an operation that only reads, or one of those that open a storage. What
    /// only reads needs no lane, and loses none when it is dropped.
    pub(super) async fn read<O: Operation>(&self, operation: &O) -> Result<O::Output, Error> {
        self.with(operation, None)
            .await
            .map_err(|ended| match ended {
                Ended::Failed(error) | Ended::Unknown(error, _) => error,
            })
    }
}

/// Begins a transaction anew that failed before its commit, if that helps.
async fn again(tx: Box<dyn Transaction>, code: Code) -> Result<Box<dyn Transaction>, Code> {
    if !code.meaning().retry {
        return Err(code);
    }
    tx.on_error(code).await.map_err(|_| code)
}

/// The error of an operation whose task ended without an outcome, because the
/// runtime is shutting down.
pub(super) fn abandoned(name: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the runtime ended before it was known what came of {name}"),
    )
}
