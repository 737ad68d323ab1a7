//! The operations on nodes' records, each inside a write transaction that others share.

use jido_core::{ClusterName, Incarnation};

use super::fault::Fault;
use super::job::{Operation, Writing};
use crate::{Error, ErrorKind, NodeRecord, NodeRegistration, NodeState, Registration, Renewal};

/// A renewal of a node's lease.
pub(super) struct Renew {
    pub(super) cluster: ClusterName,
    pub(super) incarnation: Incarnation,
}

/// A declaration that a life of a node is over.
pub(super) struct DeclareDead {
    pub(super) cluster: ClusterName,
    pub(super) incarnation: Incarnation,
    pub(super) observed: Option<u64>,
}

impl Operation for NodeRegistration {
    type Outcome = Result<Registration, Error>;

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault> {
        if let Some(own) = writing
            .tables
            .node(writing.txn, &self.cluster, self.incarnation)?
        {
            return Ok(Ok(match own.state {
                NodeState::Up => Registration::Registered(own),
                NodeState::Dead => Registration::NameTaken(own),
            }));
        }
        let nodes = writing.tables.cluster_nodes(writing.txn, &self.cluster)?;
        let taken = nodes
            .into_iter()
            .find(|other| other.name == self.name && other.state == NodeState::Up);
        if let Some(other) = taken {
            return Ok(Ok(Registration::NameTaken(other)));
        }
        let record = NodeRecord {
            name: self.name.clone(),
            incarnation: self.incarnation,
            beat: 1,
            state: NodeState::Up,
            address: self.address.clone(),
            metadata: self.metadata.clone(),
            registered_at: self.at,
        };
        writing
            .tables
            .put_node(writing.txn, &self.cluster, &record)?;
        Ok(Ok(Registration::Registered(record)))
    }

    fn failed(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn unknown(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn goes_first(&self) -> bool {
        true
    }

    fn may_use_reserve(&self) -> bool {
        true
    }
}

impl Operation for Renew {
    type Outcome = Result<Renewal, Error>;

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault> {
        match writing
            .tables
            .node(writing.txn, &self.cluster, self.incarnation)?
        {
            Some(mut node) if node.state == NodeState::Up => {
                node.beat = node.beat.checked_add(1).ok_or_else(|| {
                    Error::new(
                        ErrorKind::Corrupt,
                        format!(
                            "the record of node {} is corrupt: no beat comes after its own",
                            self.incarnation
                        ),
                    )
                })?;
                writing.tables.put_node(writing.txn, &self.cluster, &node)?;
                Ok(Ok(Renewal::Renewed(node.beat)))
            }
            _ => Ok(Ok(Renewal::Dead)),
        }
    }

    fn failed(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn unknown(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn goes_first(&self) -> bool {
        true
    }

    fn may_use_reserve(&self) -> bool {
        true
    }
}

impl Operation for DeclareDead {
    type Outcome = Result<bool, Error>;

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault> {
        let Some(mut node) = writing
            .tables
            .node(writing.txn, &self.cluster, self.incarnation)?
        else {
            return Ok(Ok(true));
        };
        if node.state == NodeState::Up && self.observed.is_none_or(|beat| beat == node.beat) {
            node.state = NodeState::Dead;
            writing.tables.put_node(writing.txn, &self.cluster, &node)?;
        }
        Ok(Ok(node.state == NodeState::Dead))
    }

    fn failed(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn unknown(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn goes_first(&self) -> bool {
        true
    }

    fn may_use_reserve(&self) -> bool {
        true
    }
}
