//! Which batches the adapter made of the appends that came.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What was recorded of a turn.
#[derive(Debug, Default, Clone)]
pub(crate) struct Batches {
    /// The agents, in the order in which they handed in their appends.
    came: Vec<usize>,
    /// How many appends each transaction took.
    sizes: Vec<usize>,
}

impl Batches {
    /// The agents of each transaction.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[usize]> {
        let mut rest = self.came.as_slice();
        self.sizes.iter().map(move |size| {
            let (batch, after) = rest.split_at(*size);
            rest = after;
            batch
        })
    }

    pub(crate) fn transactions(&self) -> usize {
        self.sizes.len()
    }
}

/// Records the batches of one adapter at a time.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recorder(Arc<Mutex<Batches>>);

impl Recorder {
    fn batches(&self) -> MutexGuard<'_, Batches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent is about to hand in an append.
    pub(crate) fn comes(&self, agent: usize) {
        self.batches().came.push(agent);
    }

    /// What was recorded since the last time.
    pub(crate) fn take(&self) -> Batches {
        std::mem::take(&mut self.batches())
    }
}

/// The writer tells of each batch.
impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "jido_storage::lmdb::writer"
            && metadata.fields().field("operations").is_some()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Operations(self));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Operations<'a>(&'a Recorder);

impl Visit for Operations<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "operations" {
            self.0.batches().sizes.push(value as usize);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
