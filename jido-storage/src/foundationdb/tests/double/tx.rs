//! Transactions on the database in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::super::super::database::{
    Batch, CommitFailure, Conflict, Database, Reading, Transaction,
};
use super::super::super::fault::Code;
use super::super::super::layout::Span;
use super::{Double, Fate, Mutation, Sent, point};

/// Pairs after which a part of a range ends, one or the other: ranges have many parts.
const BATCH_PAIRS: [usize; 2] = [3, 200];
const BATCH_BYTES: usize = 250_000;

/// So many reads of a transaction may fail, its retries' among them. What reads fail with is
/// of their version, which all have in common: a thousand reads don't fail more often than one.
const MAY_FAIL: u64 = 100;

/// The handle that begins transactions: they need the database to be shared.
#[derive(Debug, Clone)]
pub(in super::super) struct Handle(pub(in super::super) Arc<Double>);

impl Database for Handle {
    fn begin(&self) -> Result<Box<dyn Transaction>, Code> {
        Ok(Box::new(Tx::new(self.0.clone())))
    }
}

#[derive(Debug, Default)]
struct Buffer {
    version: Option<i64>,
    reads: Vec<Span>,
    writes: Vec<Span>,
    mutations: Vec<Mutation>,
}

struct Tx {
    double: Arc<Double>,
    buffer: Mutex<Buffer>,
    retries: u64,
    looked: AtomicU64,
}

impl Tx {
    fn new(double: Arc<Double>) -> Self {
        Self {
            double,
            buffer: Mutex::default(),
            retries: 0,
            looked: AtomicU64::new(0),
        }
    }

    fn version(&self) -> i64 {
        let mut state = self.double.state.lock();
        state.tick();
        *self.buffer.lock().version.get_or_insert(state.version)
    }

    fn read(&self) -> Result<i64, Code> {
        let faults = self.double.faults.lock().reads;
        let may_fail = self.looked.fetch_add(1, Ordering::Relaxed) < MAY_FAIL;
        if faults > 0 && may_fail && self.double.roll() < faults {
            let codes = [1007, 1009, 1037];
            return Err(Code(codes[(self.double.roll() % 3) as usize]));
        }
        Ok(self.version())
    }

    /// What the transaction sees between two keys: the first `most` pairs of it.
    fn view(&self, span: &Span, version: i64, most: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let state = self.double.state.lock();
        let buffer = self.buffer.lock();
        let stored = state
            .data
            .range(span.begin.clone()..span.end.clone())
            .filter_map(|(key, _)| Some((key.clone(), state.value(key, version)?.clone())));
        if buffer.mutations.is_empty() {
            return stored.take(most).collect();
        }
        let mut view: BTreeMap<_, _> = stored.collect();
        for mutation in &buffer.mutations {
            match mutation {
                Mutation::Set(key, value) if *key >= span.begin && *key < span.end => {
                    view.insert(key.clone(), value.clone());
                }
                Mutation::Set(..) => {}
                Mutation::Clear(cleared) => {
                    view.retain(|key, _| !(*key >= cleared.begin && *key < cleared.end));
                }
            }
        }
        view.into_iter().take(most).collect()
    }

    fn check(&self, key: &[u8], value: &[u8]) {
        // The library reports these at the commit; here they are bugs of the adapter.
        assert!(key.len() <= 10_000, "a key has {} bytes", key.len());
        assert!(value.len() <= 100_000, "a value has {} bytes", value.len());
    }

    fn size(buffer: &Buffer) -> usize {
        let spans = buffer.reads.iter().chain(&buffer.writes);
        let conflicts: usize = spans
            .map(|span| span.begin.len() + span.end.len() + 32)
            .sum();
        let mutations: usize = buffer
            .mutations
            .iter()
            .map(|mutation| match mutation {
                Mutation::Set(key, value) => key.len() + value.len() + 48,
                Mutation::Clear(span) => span.begin.len() + span.end.len() + 48,
            })
            .sum();
        conflicts + mutations
    }
}

#[async_trait]
impl Transaction for Tx {
    async fn get(&self, key: &[u8], reading: Reading) -> Result<Option<Vec<u8>>, Code> {
        tokio::task::yield_now().await;
        let version = self.read()?;
        if reading == Reading::Guarded {
            self.add_conflict(key, Conflict::Read)?;
        }
        Ok(self.view(&point(key), version, 1).remove(key))
    }

    async fn range(&self, span: &Span, limit: usize, reading: Reading) -> Result<Batch, Code> {
        tokio::task::yield_now().await;
        assert!(limit > 0, "0 is no limit to the library");
        let version = self.read()?;
        if span.begin > span.end {
            return Err(Code(2005));
        }
        let batch = BATCH_PAIRS[(self.double.roll() % 2) as usize];
        let mut bytes = 0;
        let mut pairs = Vec::new();
        let mut more = false;
        for (key, value) in self.view(span, version, batch + 1) {
            let full = bytes > BATCH_BYTES || pairs.len() == batch;
            if pairs.len() == limit || full {
                more = true;
                break;
            }
            bytes += value.len();
            pairs.push((key, value));
        }
        if reading == Reading::Guarded {
            let end = match (more, pairs.last()) {
                (true, Some((last, _))) => point(last).end,
                _ => span.end.clone(),
            };
            self.buffer.lock().reads.push(Span {
                begin: span.begin.clone(),
                end,
            });
        }
        Ok(Batch { pairs, more })
    }

    async fn read_version(&self) -> Result<i64, Code> {
        Ok(self.version())
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        self.check(key, value);
        let mut buffer = self.buffer.lock();
        buffer.writes.push(point(key));
        buffer
            .mutations
            .push(Mutation::Set(key.to_vec(), value.to_vec()));
    }

    fn set_unguarded(&self, key: &[u8], value: &[u8]) -> Result<(), Code> {
        self.check(key, value);
        let set = Mutation::Set(key.to_vec(), value.to_vec());
        self.buffer.lock().mutations.push(set);
        Ok(())
    }

    fn clear_unguarded(&self, span: &Span) -> Result<(), Code> {
        self.buffer
            .lock()
            .mutations
            .push(Mutation::Clear(span.clone()));
        Ok(())
    }

    fn add_conflict(&self, key: &[u8], conflict: Conflict) -> Result<(), Code> {
        let mut buffer = self.buffer.lock();
        let own = buffer
            .mutations
            .iter()
            .any(|mutation| matches!(mutation, Mutation::Set(set, _) if set == key));
        match conflict {
            Conflict::Read if own => {}
            Conflict::Read => buffer.reads.push(point(key)),
            Conflict::Write => buffer.writes.push(point(key)),
        }
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), CommitFailure> {
        tokio::task::yield_now().await;
        let version = self.version();
        let sent = {
            let mut buffer = self.buffer.lock();
            let size = Self::size(&buffer);
            assert!(size <= 10_000_000, "a transaction has {size} bytes");
            self.double
                .largest
                .fetch_max(size as u64, Ordering::Relaxed);
            let buffer = std::mem::take(&mut *buffer);
            Sent {
                version,
                reads: buffer.reads,
                writes: buffer.writes,
                mutations: buffer.mutations,
            }
        };
        let empty = sent.mutations.is_empty() && sent.writes.is_empty();
        let fault = (!empty).then(|| self.double.fault()).flatten();
        let code = {
            let mut state = self.double.state.lock();
            match fault {
                None if state.apply(&sent) => None,
                None => {
                    self.double.conflicts.fetch_add(1, Ordering::Relaxed);
                    Some(Code(1020))
                }
                Some((code, fate)) => {
                    match fate {
                        // Whether it could be is the engine's to say, as ever.
                        Fate::Applied => {
                            state.apply(&sent);
                        }
                        Fate::Lost => {}
                        Fate::Late(calls) => {
                            let at = state.calls + calls;
                            state.late.push_back((at, sent));
                        }
                    }
                    Some(Code(code))
                }
            }
        };
        tokio::task::yield_now().await;
        match code {
            None => Ok(()),
            Some(code) => Err(CommitFailure {
                code,
                again: Box::pin(async move { self.on_error(code).await }),
            }),
        }
    }

    async fn on_error(self: Box<Self>, code: Code) -> Result<Box<dyn Transaction>, Code> {
        tokio::task::yield_now().await;
        // As the engine does: codes that are not retryable come back, and so does the last of many.
        let retryable = [
            1007, 1009, 1020, 1021, 1037, 1038, 1039, 1042, 1051, 1078, 1213,
        ];
        if !retryable.contains(&code.0) || self.retries > 500 {
            return Err(code);
        }
        let mut anew = Self::new(self.double.clone());
        anew.retries = self.retries + 1;
        anew.looked = self.looked;
        Ok(Box::new(anew))
    }
}
