//! The narrow side of FoundationDB that the adapter uses.
//!
//! All rules of the adapter are written against these two traits. One side is
//! the client library; the other is a database in memory with the same
//! semantics, over which the tests run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;

use super::fault::Code;
use super::layout::Span;

/// Whether what is read takes part in conflict detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The commit fails if someone else writes it in between.
    Guarded,
    /// It only has to be of the transaction's snapshot.
    Snapshot,
}

/// What a key is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    /// As if the key had been read.
    Read,
    /// As if the key had been written.
    Write,
}

/// A part of a range, in the order of keys.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the range goes on behind the last pair.
    pub(super) more: bool,
}

/// A commit that failed.
pub(super) struct CommitFailure {
    pub(super) code: Code,
    /// Waits as long as the engine advises, then gives the transaction anew: with
    /// a fresh read version and nothing written. Does nothing until it is
    /// awaited.
    pub(super) again: Again,
}

/// A transaction to come.
pub(super) type Again = Pin<Box<dyn Future<Output = Result<Box<dyn Transaction>, Code>> + Send>>;

/// Where transactions begin.
pub(super) trait Database: fmt::Debug + Send + Sync + 'static {
    /// Begins a transaction. It has a time limit for all its attempts together.
    fn begin(&self) -> Result<Box<dyn Transaction>, Code>;
}

/// One transaction. It reads a snapshot with its own writes on top.
#[async_trait]
pub(super) trait Transaction: Send + Sync {
    /// Reads a value.
    async fn get(&self, key: &[u8], reading: Reading) -> Result<Option<Vec<u8>>, Code>;

    /// Reads the beginning of a range: as much as the engine finds good, and at
    /// most `limit` pairs. At least one pair comes where there is one.
    async fn range(&self, span: &Span, limit: usize, reading: Reading) -> Result<Batch, Code>;

    /// The version of the snapshot: it grows with the cluster's time, about a
    /// million a second.
    async fn read_version(&self) -> Result<i64, Code>;

    /// Writes a value, and makes transactions that read it conflict.
    fn set(&self, key: &[u8], value: &[u8]);

    /// Writes a value without a conflict range, for keys that a guarded key stands for.
    fn set_unguarded(&self, key: &[u8], value: &[u8]) -> Result<(), Code>;

    /// Clears a range without a conflict range, likewise.
    fn clear_unguarded(&self, span: &Span) -> Result<(), Code>;

    /// Adds a key to a conflict range without reading or writing it.
    fn add_conflict(&self, key: &[u8], conflict: Conflict) -> Result<(), Code>;

    /// Commits. Once polled it is on its way, whatever becomes of the future.
    async fn commit(self: Box<Self>) -> Result<(), CommitFailure>;

    /// Waits as long as the engine advises after an error and gives the
    /// transaction anew.
    async fn on_error(self: Box<Self>, code: Code) -> Result<Box<dyn Transaction>, Code>;
}

impl dyn Transaction + '_ {
    /// Reads a whole range, batch by batch.
    pub(super) async fn whole_range(
        &self,
        span: &Span,
        reading: Reading,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Code> {
        let mut rest = span.clone();
        let mut pairs = Vec::new();
        loop {
            let batch = self.range(&rest, usize::MAX, reading).await?;
            let last = batch.pairs.last().map(|(key, _)| key.clone());
            pairs.extend(batch.pairs);
            match last {
                Some(last) if batch.more => rest.begin_after(&last),
                _ => return Ok(pairs),
            }
        }
    }
}
