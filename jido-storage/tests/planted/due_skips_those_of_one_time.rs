//! The next page of those that are due begins at the next time, and leaves out whoever is due
//! at the time where the page before ended.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{Due, DueQuery, Error, Storage};

use super::double::{Flaw, Rows};
use super::verdict::is_caught;

#[derive(Debug)]
struct SkipsThoseOfOneTime {
    on: bool,
}

#[async_trait]
impl Flaw for SkipsThoseOfOneTime {
    async fn due(&self, rows: &Rows, query: DueQuery) -> Result<Vec<Due>, Error> {
        let all = rows
            .due(DueQuery {
                after: None,
                limit: usize::MAX,
                ..query.clone()
            })
            .await?;
        let ended = query.after.as_ref().map(|after| after.wake_at);
        let rest = all.into_iter().filter(|due| match self.on {
            true => Some(due.wake_at) > ended,
            false => Some(due) > query.after.as_ref(),
        });
        Ok(rest.take(query.limit.max(1)).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| SkipsThoseOfOneTime { on }, &[Rule::Reminder]).await;
}
