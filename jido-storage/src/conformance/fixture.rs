//! What cases are written with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Entry, Epoch, Incarnation, ManagerName, NewEntry,
    NodeName, RequestId, Revision, Seq, Timestamp,
};

use crate::{
    AgentRecord, AppendOutcome, ClaimOutcome, ClaimRequest, Commit, Cursor, DirectoryPage,
    DirectoryQuery, ErrorKind, NodeRegistration, Registration, RequestRecord, Storage,
};

/// A storage and a way to talk to it in few words.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) storage: Arc<dyn Storage>,
}

/// The cluster of most cases.
pub(super) fn cluster() -> ClusterName {
    ClusterName::new("main").expect("a name")
}

/// An agent of the cluster's usual manager.
pub(super) fn id(key: impl AsRef<str>) -> AgentId {
    id_of("agents", key)
}

/// An agent of a manager.
pub(super) fn id_of(manager: &str, key: impl AsRef<str>) -> AgentId {
    let manager = ManagerName::new(manager).expect("a name");
    AgentId::new(cluster(), manager, AgentKey::new(key).expect("a key"))
}

/// An entry of some bytes.
pub(super) fn entry(payload: impl Into<Bytes>) -> NewEntry {
    NewEntry::new("noted", Timestamp(5), payload.into()).expect("an entry")
}

/// A checkpoint of some bytes.
pub(super) fn checkpoint(state: impl Into<Bytes>, covers: u64) -> Checkpoint {
    Checkpoint {
        state: state.into(),
        covers: Seq(covers),
    }
}

/// The record of a request.
pub(super) fn request(client: u128, seq: u64, reply: impl Into<Bytes>) -> RequestRecord {
    RequestRecord {
        request: RequestId::new(client, seq),
        issued_at: Timestamp(seq),
        reply: reply.into(),
    }
}

/// A commit that writes nothing yet.
pub(super) fn commit(id: &AgentId, epoch: Epoch, expected: u64) -> Commit {
    Commit::new(
        id.clone(),
        epoch,
        Revision(expected),
        Timestamp(expected.saturating_add(100)),
    )
}

/// A commit of one small entry.
pub(super) fn note(id: &AgentId, epoch: Epoch, expected: u64) -> Commit {
    let mut commit = commit(id, epoch, expected);
    commit.entries.push(entry(format!("entry of {expected}")));
    commit
}

/// A registration of a life of a node, named after it.
pub(super) fn registration(name: &str, incarnation: u128) -> NodeRegistration {
    NodeRegistration {
        cluster: cluster(),
        name: NodeName::new(name).expect("a name"),
        incarnation: Incarnation(incarnation),
        address: format!("{name}:4000"),
        metadata: BTreeMap::from([("zone".to_owned(), "z1".to_owned())]),
        at: Timestamp(50),
    }
}

/// The revision that an append gave.
#[track_caller]
pub(super) fn committed(outcome: AppendOutcome) -> u64 {
    match outcome {
        AppendOutcome::Committed(revision) => revision.0,
        other => panic!("expected Committed, got {other:?}"),
    }
}

/// The epoch that fenced an append.
#[track_caller]
pub(super) fn fenced(outcome: AppendOutcome) -> Epoch {
    match outcome {
        AppendOutcome::Fenced { epoch } => epoch,
        other => panic!("expected Fenced, got {other:?}"),
    }
}

/// The revision that an append conflicted with.
#[track_caller]
pub(super) fn conflict(outcome: AppendOutcome) -> u64 {
    match outcome {
        AppendOutcome::Conflict { actual } => actual.0,
        other => panic!("expected Conflict, got {other:?}"),
    }
}

/// Checks that an append failed with an error of a kind; gives its message.
#[track_caller]
pub(super) fn failed(outcome: AppendOutcome, kind: ErrorKind) -> String {
    match outcome {
        AppendOutcome::Failed(error) if error.kind() == kind => error.to_string(),
        other => panic!("expected Failed with {kind:?}, got {other:?}"),
    }
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..limit` (splitmix64).
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Bytes that don't repeat.
    pub(super) fn bytes(&mut self, len: usize) -> Bytes {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

impl World {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Registers a life of a node of a name of its own.
    pub(super) async fn node(&self, incarnation: u128) -> Incarnation {
        let node = registration(&format!("n{incarnation}"), incarnation);
        match self.storage.register_node(node).await {
            Ok(Registration::Registered(_)) => Incarnation(incarnation),
            other => panic!("node {incarnation} is not registered: {other:?}"),
        }
    }

    /// Declares a life of a node dead.
    pub(super) async fn bury(&self, incarnation: Incarnation) {
        let dead = self
            .storage
            .declare_dead(&cluster(), incarnation, None)
            .await;
        assert!(
            matches!(dead, Ok(true)),
            "a declaration without a beat failed: {dead:?}"
        );
    }

    /// Tries to claim.
    pub(super) async fn try_claim(
        &self,
        id: &AgentId,
        claimant: Incarnation,
        take_from: Option<Incarnation>,
    ) -> ClaimOutcome {
        let claim = ClaimRequest {
            id: id.clone(),
            claimant,
            take_from,
            at: Timestamp(60),
        };
        self.storage.claim(claim).await.expect("a claim answers")
    }

    /// Claims, which has to succeed.
    pub(super) async fn claim(&self, id: &AgentId, claimant: Incarnation) -> Epoch {
        match self.try_claim(id, claimant, None).await {
            ClaimOutcome::Claimed(epoch) => epoch,
            other => panic!("{id} is not claimed: {other:?}"),
        }
    }

    /// Appends.
    pub(super) async fn append(&self, commit: Commit) -> AppendOutcome {
        self.storage.append(commit).await
    }

    /// An agent's record, which is there.
    pub(super) async fn head(&self, id: &AgentId) -> AgentRecord {
        let head = self.storage.head(id).await.expect("head answers");
        head.unwrap_or_else(|| panic!("{id} has no record"))
    }

    /// A whole thread, page by page.
    pub(super) async fn thread(&self, id: &AgentId) -> Vec<Entry> {
        self.thread_by(id, 1000).await
    }

    /// A whole thread, in pages of a size.
    pub(super) async fn thread_by(&self, id: &AgentId, page: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let from = Seq(entries.len() as u64);
            let page = self
                .storage
                .read_thread(id, from, page)
                .await
                .expect("a thread is read");
            if page.is_empty() {
                return entries;
            }
            for found in page {
                assert_eq!(found.seq, Seq(entries.len() as u64), "a thread has a gap");
                entries.push(found);
            }
        }
    }

    /// The reply of a request.
    pub(super) async fn reply(&self, id: &AgentId, client: u128, seq: u64) -> Option<Bytes> {
        let request = RequestId::new(client, seq);
        self.storage
            .reply_of(id, request)
            .await
            .expect("a reply is read")
            .map(|committed| committed.reply)
    }

    /// A page of a manager's directory.
    pub(super) async fn page(
        &self,
        manager: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> DirectoryPage {
        let manager = ManagerName::new(manager).expect("a name");
        let query = DirectoryQuery {
            cluster: cluster(),
            manager,
            after,
            limit,
        };
        self.storage
            .directory(query)
            .await
            .expect("a directory is read")
    }

    /// A manager's whole directory in pages of a size, as sorted keys.
    pub(super) async fn keys(&self, manager: &str, limit: usize) -> Vec<String> {
        let mut keys = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.page(manager, after, limit).await;
            assert!(
                page.agents.len() <= limit.max(1),
                "a page is longer than asked"
            );
            for key in page.keys() {
                // At once, since pages that repeat themselves may have no end.
                let first = keys.insert(key.as_str().to_owned());
                assert!(first, "a directory gave {key} twice");
            }
            match page.next {
                None => break,
                next => after = next,
            }
            // Others come in between, on a runtime of one thread too.
            tokio::task::yield_now().await;
        }
        keys.into_iter().collect()
    }
}
