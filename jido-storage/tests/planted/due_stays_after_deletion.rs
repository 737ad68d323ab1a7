//! A deletion leaves the agent among those that are due.

use async_trait::async_trait;
use jido_core::{AgentId, Epoch, Timestamp};
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Due, DueQuery, Error, Storage};
use parking_lot::Mutex;

use super::double::{Flaw, Rows};
use super::verdict::is_caught;

#[derive(Debug)]
struct StaysAfterDeletion {
    on: bool,
    left: Mutex<Vec<(AgentId, Timestamp)>>,
}

#[async_trait]
impl Flaw for StaysAfterDeletion {
    async fn delete(
        &self,
        rows: &Rows,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        let before = rows.load(id).await.ok().flatten();
        let outcome = rows.delete(id, epoch, at).await;
        let wake_at = before.and_then(|loaded| loaded.reminders.wake_at);
        if let (true, AppendOutcome::Committed(_), Some(wake_at)) = (self.on, &outcome, wake_at) {
            self.left.lock().push((id.clone(), wake_at));
        }
        outcome
    }

    async fn due(&self, rows: &Rows, query: DueQuery) -> Result<Vec<Due>, Error> {
        let mut due = rows.due(query.clone()).await?;
        let left = self.left.lock();
        let left = left.iter().filter(|(id, wake_at)| {
            id.cluster == query.cluster && id.manager == query.manager && *wake_at <= query.until
        });
        due.extend(left.map(|(id, wake_at)| Due {
            wake_at: *wake_at,
            key: id.key.clone(),
        }));
        due.retain(|due| Some(due) > query.after.as_ref());
        due.sort();
        due.dedup();
        due.truncate(query.limit.max(1));
        Ok(due)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let flaw = |on| StaysAfterDeletion {
        on,
        left: Mutex::default(),
    };
    is_caught(flaw, &[Rule::Delete]).await;
}
