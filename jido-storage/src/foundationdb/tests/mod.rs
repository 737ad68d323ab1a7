//! Tests over a database in memory: the conformance suite, with faults and without, and
//! what needs to see inside.

mod double;
mod fuzz;
mod layout;
mod plan;
mod records;
mod resolution;
#[cfg(feature = "conformance")]
mod suite;
mod under_way;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Epoch, Incarnation, ManagerName, NewEntry,
    NodeName, RequestId, Revision, Seq, Timestamp,
};

use self::double::{Double, Handle};
use super::transact::Step;
use super::*;
use crate::{Commit, RequestRecord};

const NODE: Incarnation = Incarnation(7);
const PREFIX: &[u8] = &[0x15, 0x2a];

fn cluster() -> ClusterName {
    ClusterName::new("test").unwrap()
}

fn id(key: &str) -> AgentId {
    let manager = ManagerName::new("agents").unwrap();
    AgentId::new(cluster(), manager, AgentKey::new(key).unwrap())
}

fn commit(id: &AgentId, epoch: Epoch, expected: u64) -> Commit {
    Commit::new(id.clone(), epoch, Revision(expected), Timestamp(9))
}

fn layout() -> Layout {
    Layout::new(PREFIX.to_vec())
}

/// A commit of one entry of a length.
fn note(id: &AgentId, epoch: Epoch, expected: u64, len: usize) -> Commit {
    let mut commit = commit(id, epoch, expected);
    let entry = NewEntry::new("noted", Timestamp(5), Bytes::from(vec![7; len])).unwrap();
    commit.entries.push(entry);
    commit
}

fn request(client: u128, seq: u64, reply: &str) -> RequestRecord {
    RequestRecord {
        request: RequestId::new(client, seq),
        issued_at: Timestamp(seq),
        reply: Bytes::copy_from_slice(reply.as_bytes()),
    }
}

async fn over(double: &Arc<Double>, instance: u128) -> FoundationDbStorage {
    let database = Arc::new(Handle(double.clone()));
    FoundationDbStorage::over(
        database,
        PREFIX.to_vec(),
        instance,
        DEFAULT_MAX_COMMIT_BYTES,
    )
    .await
    .unwrap()
}

fn registration() -> NodeRegistration {
    NodeRegistration {
        cluster: cluster(),
        name: NodeName::new("n7").unwrap(),
        incarnation: NODE,
        address: "here".into(),
        metadata: BTreeMap::new(),
        at: Timestamp(1),
    }
}

async fn claim(storage: &FoundationDbStorage, id: &AgentId) -> Epoch {
    let claim = ClaimRequest {
        id: id.clone(),
        claimant: NODE,
        take_from: None,
        at: Timestamp(1),
    };
    match storage.claim(claim).await.unwrap() {
        ClaimOutcome::Claimed(epoch) => epoch,
        other => panic!("not claimed: {other:?}"),
    }
}

/// A storage with a node and a claimed agent.
async fn ready(double: &Arc<Double>) -> (FoundationDbStorage, AgentId, Epoch) {
    let storage = over(double, 1).await;
    storage.register_node(registration()).await.unwrap();
    let a = id("a");
    let epoch = claim(&storage, &a).await;
    (storage, a, epoch)
}

fn checkpoint(state: Vec<u8>, covers: u64) -> Checkpoint {
    Checkpoint {
        state: state.into(),
        covers: Seq(covers),
    }
}
