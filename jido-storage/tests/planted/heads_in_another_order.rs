//! `where id in (..)` without a place for each: records come in the order of their keys.

use async_trait::async_trait;
use jido_core::AgentId;
use jido_storage::conformance::Rule;
use jido_storage::{AgentRecord, Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct InAnotherOrder {
    on: bool,
}

#[async_trait]
impl Flaw for InAnotherOrder {
    async fn heads(&self, rows: &Rows, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        let mut ids = ids.to_vec();
        if self.on {
            ids.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
        }
        rows.heads(&ids).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| InAnotherOrder { on }, &[Rule::Heads]).await;
}
