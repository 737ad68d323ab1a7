//! Entries are kept in chunks, and a page that begins with a chunk begins one entry late.

use async_trait::async_trait;
use jido_core::{AgentId, Entry, Seq};
use jido_storage::conformance::Rule;
use jido_storage::{Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

/// Entries of a chunk.
const CHUNK: u64 = 256;

#[derive(Debug)]
struct OffByOne {
    on: bool,
}

#[async_trait]
impl Flaw for OffByOne {
    async fn read_thread(
        &self,
        rows: &Rows,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let edge = from.0 > 0 && from.0.is_multiple_of(CHUNK);
        let late = if self.on && edge { 1 } else { 0 };
        rows.read_thread(id, Seq(from.0 + late), limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| OffByOne { on }, &[Rule::Thread]).await;
}
