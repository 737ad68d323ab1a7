//! `where key >= cursor`: a page begins with the agent that the one before ended with.

use async_trait::async_trait;
use jido_core::{AgentId, AgentKey};
use jido_storage::conformance::Rule;
use jido_storage::{DirectoryPage, DirectoryQuery, Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct RepeatsAtTheEdge {
    on: bool,
}

#[async_trait]
impl Flaw for RepeatsAtTheEdge {
    async fn directory(&self, rows: &Rows, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let mut page = rows.directory(query.clone()).await?;
        let last = query.after.as_ref().and_then(|after| {
            let key = AgentKey::new(std::str::from_utf8(&after.0).ok()?).ok()?;
            Some(AgentId::new(query.cluster, query.manager, key))
        });
        if let Some(last) = last.filter(|_| self.on)
            && let Some(again) = rows.head(&last).await?
            && page.agents.len() < query.limit
        {
            page.agents.insert(0, again);
        }
        Ok(page)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| RepeatsAtTheEdge { on }, &[Rule::Directory]).await;
}
