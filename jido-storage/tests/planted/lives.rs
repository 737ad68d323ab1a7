//! The lives of nodes kept apart from what they own: agents' rows take every life for up,
//! and who may claim is decided here.

use async_trait::async_trait;
use jido_core::{ClusterName, Incarnation, NodeName};
use jido_storage::{
    ClaimOutcome, ClaimRequest, Error, MemoryStorage, NodeRecord, NodeRegistration, NodeState,
    Registration, Renewal, Storage,
};

use crate::double::{Flaw, Rows, pause};

/// When a claim looks whether its claimant is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// While nobody can be declared dead.
    Meanwhile,
    /// Before it waits for its turn.
    Before,
    /// Not at all: a record is enough.
    Never,
}

#[derive(Debug)]
pub(crate) struct Lives {
    look: Look,
    lives: MemoryStorage,
    turn: tokio::sync::Mutex<()>,
}

impl Lives {
    pub(crate) fn new(look: Look) -> Self {
        Self {
            look,
            lives: MemoryStorage::new(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    async fn state(&self, cluster: &ClusterName, life: Incarnation) -> Option<NodeState> {
        let nodes = self.lives.nodes(cluster).await.unwrap();
        let found = nodes.iter().find(|node| node.incarnation == life);
        found.map(|node| node.state)
    }
}

#[async_trait]
impl Flaw for Lives {
    async fn register_node(
        &self,
        rows: &Rows,
        node: NodeRegistration,
    ) -> Result<Registration, Error> {
        let answer = self.lives.register_node(node.clone()).await?;
        // There no life keeps another from its name.
        let name = NodeName::new(format!("life-{}", node.incarnation.0)).unwrap();
        rows.register_node(NodeRegistration { name, ..node })
            .await?;
        Ok(answer)
    }

    async fn renew_node(
        &self,
        _: &Rows,
        cluster: &ClusterName,
        life: Incarnation,
    ) -> Result<Renewal, Error> {
        self.lives.renew_node(cluster, life).await
    }

    async fn declare_dead(
        &self,
        _: &Rows,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let _turn = self.turn.lock().await;
        self.lives.declare_dead(cluster, life, observed).await
    }

    async fn nodes(&self, _: &Rows, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        self.lives.nodes(cluster).await
    }

    async fn claim(&self, rows: &Rows, mut claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let cluster = &claim.id.cluster;
        let before = self.state(cluster, claim.claimant).await;
        if self.look == Look::Before {
            pause().await;
        }
        let _turn = self.turn.lock().await;
        let may = match self.look {
            Look::Meanwhile => self.state(cluster, claim.claimant).await == Some(NodeState::Up),
            Look::Before => before == Some(NodeState::Up),
            Look::Never => before.is_some(),
        };
        if !may {
            return Ok(ClaimOutcome::ClaimantDead);
        }
        let head = rows.head(&claim.id).await?;
        if let Some(owner) = head.and_then(|head| head.owner)
            && self.state(cluster, owner).await != Some(NodeState::Up)
        {
            claim.take_from = Some(owner);
        }
        rows.claim(claim).await
    }
}
