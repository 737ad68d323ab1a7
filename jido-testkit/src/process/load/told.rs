//! What a load is told, and what it tells.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;

use crate::counters::{self, Verdict};
use crate::history::History;
use crate::process::DemoClient;
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// How long every key may take to answer in the end.
const LAST_READS: Duration = Duration::from_secs(30);

/// How many keys are read at a time.
const READS_AT_ONCE: usize = 16;

/// The pause before a key is read again.
const PAUSE: Duration = Duration::from_millis(50);

/// What the load consists of.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The nodes to ask.
    pub nodes: Vec<DemoClient>,
    /// How many clients there are, each with one request under way; none where others
    /// [join](super::Load::join).
    pub clients: usize,
    /// Keys whose increments have an id each, and are tried again also when nobody can
    /// tell whether they were executed: each takes effect once all the same.
    pub keys: Vec<String>,
    /// Keys whose increments have none. Each operation is on one of all keys, chosen at
    /// random.
    pub plain_keys: Vec<String>,
    /// How many of a hundred operations are reads; the others are increments.
    pub reads: u32,
    /// What their choices are drawn from.
    pub seed: u64,
    /// How long a read, or an increment that was refused without being executed, is
    /// tried again, at whichever node is ready.
    pub patience: Duration,
}

/// How the operations of a load went so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Increments that were acknowledged with a value.
    pub acknowledged: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Increments that failed for their client: the outcome is unknown, the answer got lost, or
    /// nobody took it while the patience lasted.
    pub failed: u64,
    /// Requests that were refused without being executed, and were sent again.
    pub refused: u64,
}

/// What came of a load.
#[derive(Debug)]
pub struct LoadReport {
    /// All reads that were answered, and all increments that were executed, or may have
    /// been; times count from [`Load::start`](super::Load::start).
    pub history: History,
    /// How all of them went.
    pub counts: LoadCounts,
    /// The last 20 errors with which operations failed, in words.
    pub errors: Vec<String>,
}

impl LoadReport {
    /// The value of each of its keys that some node answers now, asked for up to half a
    /// minute, and the last error of each of the others.
    pub async fn stored(&self, nodes: &[DemoClient]) -> (BTreeMap<String, i64>, Vec<Error>) {
        let keys = self.history.by_key().into_keys();
        let reads = keys.map(|key| async move { (key, last_read(nodes, key).await) });
        let mut reads = futures_util::stream::iter(reads).buffered(READS_AT_ONCE);
        let (mut stored, mut unread) = (BTreeMap::new(), Vec::new());
        while let Some((key, read)) = reads.next().await {
            match read {
                Ok(value) => drop(stored.insert(key.to_owned(), value)),
                Err(error) => unread.push(error),
            }
        }
        (stored, unread)
    }

    /// Judges the history by what a node answers for each of its keys now.
    ///
    /// # Errors
    ///
    /// Those of [`DemoClient::get`].
    pub async fn judge(&self, client: &DemoClient) -> Result<Verdict, Error> {
        let mut stored = BTreeMap::new();
        for key in self.history.by_key().into_keys() {
            stored.insert(key.to_owned(), client.get(key).await?.value);
        }
        Ok(counters::check(&self.history, &stored))
    }
}

/// The value of a key, once its owner has settled after the last fault.
async fn last_read(nodes: &[DemoClient], key: &str) -> Result<i64, Error> {
    let deadline = now() + LAST_READS;
    for client in nodes.iter().cycle() {
        match client.get(key).await {
            Ok(reply) => return Ok(reply.value),
            Err(error) if now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(Error::new(ErrorKind::NoSuchNode, "there are no nodes"))
}
