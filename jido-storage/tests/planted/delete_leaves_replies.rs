//! A deletion leaves the request records: the agent that comes after answers a request
//! with a reply from before.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jido_core::{AgentId, Epoch, RequestId, Timestamp};
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, CommittedRequest, Error, Storage};
use parking_lot::Mutex;

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug, Default)]
struct DeleteLeavesReplies {
    on: bool,
    left: Mutex<BTreeMap<(AgentId, RequestId), CommittedRequest>>,
}

#[async_trait]
impl Flaw for DeleteLeavesReplies {
    async fn reply_of(
        &self,
        rows: &Rows,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        let kept = rows.reply_of(id, request).await?;
        let left = self.left.lock().get(&(id.clone(), request)).cloned();
        Ok(kept.or(left))
    }

    async fn delete(
        &self,
        rows: &Rows,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        let loaded = rows.load(id).await.unwrap();
        let marks = loaded.map(|loaded| loaded.requests.marks);
        let mut left = BTreeMap::new();
        for mark in marks.unwrap_or_default() {
            if let Some(reply) = rows.reply_of(id, mark.request).await.unwrap() {
                left.insert((id.clone(), mark.request), reply);
            }
        }
        let outcome = rows.delete(id, epoch, at).await;
        if self.on && matches!(outcome, AppendOutcome::Committed(_)) {
            self.left.lock().append(&mut left);
        }
        outcome
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let plant = |on| DeleteLeavesReplies {
        on,
        ..DeleteLeavesReplies::default()
    };
    is_caught(plant, &[Rule::Delete, Rule::Whole]).await;
}
