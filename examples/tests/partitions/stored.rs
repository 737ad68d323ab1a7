//! What Postgres holds of the counters, read past all nodes.

use std::collections::BTreeMap;

use jido_cluster::storage::{PostgresOptions, PostgresStorage, Storage};
use jido_cluster::{AgentId, AgentKey, ClusterName, ManagerName};
use jido_core::decode_state;
use jido_examples::counter_node::counter::Counter;

/// The counts of these keys; 0 of one that was never stored.
pub(crate) async fn counts<'a>(
    url: &str,
    keys: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, i64> {
    let storage = PostgresStorage::connect(PostgresOptions::new(url).unwrap())
        .await
        .unwrap();
    let mut counts = BTreeMap::new();
    for key in keys {
        let id = AgentId::new(
            ClusterName::new("demo").unwrap(),
            ManagerName::new("counters").unwrap(),
            AgentKey::new(key).unwrap(),
        );
        let loaded = storage.load(&id).await.unwrap();
        let count = match loaded.and_then(|loaded| loaded.checkpoint) {
            Some(checkpoint) => decode_state::<Counter>(&checkpoint.state).unwrap().count,
            None => 0,
        };
        counts.insert(key.to_owned(), count);
    }
    storage.close().await;
    counts
}
