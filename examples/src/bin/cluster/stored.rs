//! The counters as they stand in storage, read past all nodes.

use std::collections::BTreeMap;
use std::path::Path;

use jido_cluster::storage::{DirectoryQuery, LmdbStorage, Storage};
use jido_cluster::{ClusterName, ManagerName};
use jido_core::decode_state;
use jido_examples::counter_node::counter::Counter;

use super::demo::{CLUSTER, Failure};

const PAGE: usize = 256;

#[derive(Debug)]
pub(super) struct Stored {
    storage: LmdbStorage,
    cluster: ClusterName,
    manager: ManagerName,
}

impl Stored {
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        Ok(Self {
            storage: LmdbStorage::open(dir)?,
            cluster: ClusterName::new(CLUSTER)?,
            manager: ManagerName::new("counters")?,
        })
    }

    /// The count of every key that was ever committed.
    pub(super) async fn counts(&self) -> Result<BTreeMap<String, i64>, Failure> {
        let mut counts = BTreeMap::new();
        let mut after = None;
        loop {
            let query = DirectoryQuery {
                cluster: self.cluster.clone(),
                manager: self.manager.clone(),
                after,
                limit: PAGE,
            };
            let page = self.storage.directory(query).await?;
            for agent in page.agents {
                let loaded = self.storage.load(&agent.id).await?;
                if let Some(checkpoint) = loaded.and_then(|loaded| loaded.checkpoint) {
                    let counter: Counter = decode_state(&checkpoint.state)?;
                    counts.insert(agent.id.key.as_str().to_owned(), counter.count);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(counts);
            }
        }
    }
}
