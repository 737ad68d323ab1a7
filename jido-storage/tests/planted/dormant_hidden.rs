//! The directory lists the agents that somebody owns, and none that sleeps.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AgentStatus, DirectoryPage, DirectoryQuery, Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct DormantHidden {
    on: bool,
}

#[async_trait]
impl Flaw for DormantHidden {
    async fn directory(&self, rows: &Rows, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let mut page = rows.directory(query).await?;
        page.agents
            .retain(|agent| !self.on || agent.status() == AgentStatus::Claimed);
        Ok(page)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| DormantHidden { on }, &[Rule::Directory, Rule::Whole]).await;
}
