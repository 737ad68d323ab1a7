//! Cursors that no page gave, for every adapter.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code: what goes wrong ends the test"
)]

use std::sync::Arc;

use jido_core::fuzz::{PeakAlloc, bounded};
use jido_core::{
    AgentId, AgentKey, ClusterName, Incarnation, ManagerName, NodeName, Timestamp, fuzz_target,
};
use jido_storage::conformance::hostile_cursor;
use jido_storage::{
    ClaimOutcome, ClaimRequest, DirectoryQuery, LmdbStorage, MemoryStorage, NodeRegistration,
    Storage,
};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// An adapter with agents of two managers.
struct World {
    runtime: Runtime,
    storage: Arc<dyn Storage>,
    query: DirectoryQuery,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

impl World {
    fn new(storage: Arc<dyn Storage>) -> Self {
        Self::on(runtime(), storage)
    }

    fn on(runtime: Runtime, storage: Arc<dyn Storage>) -> Self {
        let cluster = ClusterName::new("c").unwrap();
        let managers = ["agents", "others"].map(|name| ManagerName::new(name).unwrap());
        let longest = "x".repeat(1024);
        let keys = ["a", "b/é", "c", "room-7", longest.as_str()];
        runtime.block_on(async {
            let node = NodeRegistration {
                cluster: cluster.clone(),
                name: NodeName::new("n1").unwrap(),
                incarnation: Incarnation(1),
                address: String::new(),
                metadata: Default::default(),
                at: Timestamp(0),
            };
            storage.register_node(node).await.unwrap();
            for manager in &managers {
                for key in keys {
                    let key = AgentKey::new(key).unwrap();
                    let claim = ClaimRequest {
                        id: AgentId::new(cluster.clone(), manager.clone(), key),
                        claimant: Incarnation(1),
                        take_from: None,
                        at: Timestamp(0),
                    };
                    let claimed = storage.claim(claim).await.unwrap();
                    assert!(matches!(claimed, ClaimOutcome::Claimed(_)));
                }
            }
        });
        let [manager, _] = managers;
        let query = DirectoryQuery {
            cluster,
            manager,
            after: None,
            limit: 1,
        };
        Self {
            runtime,
            storage,
            query,
        }
    }

    /// The cursors that the adapter gives itself, one after each agent but the last.
    fn cursors(&self) -> Vec<Vec<u8>> {
        let mut query = self.query.clone();
        let mut cursors = Vec::new();
        loop {
            let page = self.storage.directory(query.clone());
            match self.runtime.block_on(page).unwrap().next {
                None => break,
                next => query.after = next,
            }
            cursors.extend(query.after.iter().map(|cursor| cursor.0.to_vec()));
        }
        assert_eq!(cursors.len(), 4);
        cursors
    }

    fn check(&self, bytes: &[u8]) {
        let asked = hostile_cursor(&*self.storage, &self.query, bytes);
        bounded(bytes.len(), || self.runtime.block_on(asked));
    }
}

#[test]
fn cursors_of_memory() {
    let world = World::new(Arc::new(MemoryStorage::new()));
    fuzz_target!(world.cursors(), |bytes: &[u8]| world.check(bytes));
}

#[test]
fn cursors_of_lmdb() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(Arc::new(LmdbStorage::open(folder.path()).unwrap()));
    fuzz_target!(world.cursors(), |bytes: &[u8]| world.check(bytes));
}

#[cfg(feature = "postgres")]
#[test]
fn cursors_of_postgres() {
    let runtime = runtime();
    let builder = jido_testkit::postgres::TemporaryPostgres::builder().fsync_off();
    let server = runtime.block_on(builder.start()).unwrap();
    let url = runtime.block_on(server.fresh_database()).unwrap();
    let options = jido_storage::PostgresOptions::new(&url).unwrap();
    let connecting = jido_storage::PostgresStorage::connect(options);
    let storage = runtime.block_on(connecting).unwrap();
    let world = World::on(runtime, Arc::new(storage));
    fuzz_target!(world.cursors(), |bytes: &[u8]| world.check(bytes));
}
