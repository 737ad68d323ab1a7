//! A storage whose records take no memory here: every agent was never seen before, and
//! every commit is fine.

use async_trait::async_trait;
use jido_cluster::storage::{
    AgentRecord, AppendOutcome, Batching, Capabilities, ClaimOutcome, ClaimRequest, Commit,
    CommittedRequest, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, NodeRecord,
    NodeRegistration, NodeState, Registration, Renewal, Sharing, Storage,
};
use jido_cluster::{
    AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Revision, Seq, Timestamp,
};

#[derive(Debug)]
pub(crate) struct Elsewhere;

#[async_trait]
impl Storage for Elsewhere {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sharing: Sharing::Cluster,
            durable: true,
            max_commit_bytes: 1 << 20,
            batching: Batching::Itself,
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        Ok(Registration::Registered(NodeRecord {
            name: node.name,
            incarnation: node.incarnation,
            beat: 1,
            state: NodeState::Up,
            address: node.address,
            metadata: node.metadata,
            registered_at: node.at,
        }))
    }

    async fn renew_node(&self, _: &ClusterName, _: Incarnation) -> Result<Renewal, Error> {
        Ok(Renewal::Renewed(1))
    }

    async fn declare_dead(
        &self,
        _: &ClusterName,
        _: Incarnation,
        _: Option<u64>,
    ) -> Result<bool, Error> {
        Ok(true)
    }

    async fn nodes(&self, _: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        Ok(Vec::new())
    }

    async fn claim(&self, _: ClaimRequest) -> Result<ClaimOutcome, Error> {
        Ok(ClaimOutcome::Claimed(Epoch(1)))
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let record = AgentRecord {
            id: id.clone(),
            owner: None,
            epoch: Epoch(1),
            revision: Revision::ZERO,
            thread_len: Seq::ZERO,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        Ok(Some(Loaded {
            record,
            checkpoint: None,
            thread_metadata: Default::default(),
            reminders: Default::default(),
            requests: Default::default(),
        }))
    }

    async fn head(&self, _: &AgentId) -> Result<Option<AgentRecord>, Error> {
        Ok(None)
    }

    async fn read_thread(&self, _: &AgentId, _: Seq, _: usize) -> Result<Vec<Entry>, Error> {
        Ok(Vec::new())
    }

    async fn reply_of(&self, _: &AgentId, _: RequestId) -> Result<Option<CommittedRequest>, Error> {
        Ok(None)
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let committed = commits.iter().map(|commit| commit.expected.next());
        committed.map(AppendOutcome::Committed).collect()
    }

    async fn delete(&self, _: &AgentId, _: Epoch, _: Timestamp) -> AppendOutcome {
        AppendOutcome::Committed(Revision::ZERO)
    }

    async fn directory(&self, _: DirectoryQuery) -> Result<DirectoryPage, Error> {
        Ok(DirectoryPage {
            agents: Vec::new(),
            next: None,
        })
    }

    async fn due(&self, _: DueQuery) -> Result<Vec<Due>, Error> {
        Ok(Vec::new())
    }
}
