//! The operations on nodes' records.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::try_join;
use jido_core::{ClusterName, Incarnation};

use super::database::{Reading, Transaction};
use super::fault::Fault;
use super::layout::Layout;
use super::rows::{NodeRow, check_value};
use super::transact::{Operation, Step};
use crate::record_codec::{decode, encode};
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

/// A look at all nodes of a cluster.
pub(super) struct Nodes {
    pub(super) cluster: ClusterName,
}

fn decode_node(bytes: &[u8], cluster: &ClusterName, life: Incarnation) -> Result<NodeRow, Error> {
    decode(
        bytes,
        format_args!("the record of node {life} of {cluster}"),
    )
}

fn decode_beat(bytes: &[u8], cluster: &ClusterName, life: Incarnation) -> Result<u64, Error> {
    decode(bytes, format_args!("the beat of node {life} of {cluster}"))
}

/// The record of a life of a node without its beat, if there is one.
pub(super) async fn node_row(
    layout: &Layout,
    tx: &dyn Transaction,
    cluster: &ClusterName,
    life: Incarnation,
) -> Result<Option<NodeRow>, Fault> {
    let bytes = tx
        .get(&layout.node(cluster, life), Reading::Guarded)
        .await?;
    let row = bytes.map(|bytes| decode_node(&bytes, cluster, life));
    Ok(row.transpose()?)
}

/// The beat of a life of a node that has a record.
async fn beat(
    layout: &Layout,
    tx: &dyn Transaction,
    cluster: &ClusterName,
    life: Incarnation,
    reading: Reading,
) -> Result<Option<u64>, Fault> {
    let bytes = tx.get(&layout.beat(cluster, life), reading).await?;
    let beat = bytes.map(|bytes| decode_beat(&bytes, cluster, life));
    Ok(beat.transpose()?)
}

fn no_beat(cluster: &ClusterName, life: Incarnation) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("node {life} of {cluster} has a record without a beat"),
    )
}

/// All lives of a cluster's nodes.
async fn all(
    layout: &Layout,
    tx: &dyn Transaction,
    cluster: &ClusterName,
    reading: Reading,
) -> Result<Vec<NodeRecord>, Fault> {
    let (nodes, beats) = (layout.nodes(cluster), layout.beats(cluster));
    // Of beats nothing depends on the last one.
    let (rows, beats) = try_join(
        tx.whole_range(&nodes, reading),
        tx.whole_range(&beats, Reading::Snapshot),
    )
    .await?;
    let life_of = |key: &[u8]| {
        layout.life_of(key).ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!("a record of a node of {cluster} has a key that is none"),
            )
        })
    };
    let mut counts = BTreeMap::new();
    for (key, bytes) in beats {
        let life = life_of(&key)?;
        counts.insert(life, decode_beat(&bytes, cluster, life)?);
    }
    let mut records = Vec::with_capacity(rows.len());
    for (key, bytes) in rows {
        let life = life_of(&key)?;
        let row = decode_node(&bytes, cluster, life)?;
        let beat = counts.get(&life).ok_or_else(|| no_beat(cluster, life))?;
        records.push(row.into_record(life, *beat));
    }
    Ok(records)
}

#[async_trait]
impl Operation for NodeRegistration {
    type Output = Registration;

    fn name(&self) -> String {
        format!("the registration of node {}", self.name)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        // Guarded as a range: of two new lives of one name, one sees the other.
        let nodes = all(layout, tx, &self.cluster, Reading::Guarded).await?;
        let own = nodes
            .iter()
            .find(|node| node.incarnation == self.incarnation);
        if let Some(own) = own {
            return Ok(Step::Read(match own.state {
                NodeState::Up => Registration::Registered(own.clone()),
                NodeState::Dead => Registration::NameTaken(own.clone()),
            }));
        }
        let taken = nodes
            .into_iter()
            .find(|other| other.name == self.name && other.state == NodeState::Up);
        if let Some(other) = taken {
            return Ok(Step::Read(Registration::NameTaken(other)));
        }
        let row = NodeRow {
            name: self.name.clone(),
            state: NodeState::Up,
            address: self.address.clone(),
            metadata: self.metadata.clone(),
            registered_at: self.at,
        };
        let bytes = encode(&row)?;
        check_value(&bytes, format_args!("the record of node {}", self.name))?;
        tx.set(&layout.node(&self.cluster, self.incarnation), &bytes);
        tx.set(
            &layout.beat(&self.cluster, self.incarnation),
            &encode(&1u64)?,
        );
        let record = row.into_record(self.incarnation, 1);
        Ok(Step::Write(Registration::Registered(record)))
    }
}

#[async_trait]
impl Operation for Renew {
    type Output = Renewal;

    fn name(&self) -> String {
        format!("the renewal of node {}'s lease", self.incarnation)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let (cluster, life) = (&self.cluster, self.incarnation);
        let (row, beat) = try_join(
            node_row(layout, tx, cluster, life),
            beat(layout, tx, cluster, life, Reading::Guarded),
        )
        .await?;
        match row {
            Some(row) if row.state == NodeState::Up => {
                let beat = beat
                    .ok_or_else(|| no_beat(cluster, life))?
                    .saturating_add(1);
                tx.set(&layout.beat(cluster, life), &encode(&beat)?);
                Ok(Step::Write(Renewal::Renewed(beat)))
            }
            _ => Ok(Step::Read(Renewal::Dead)),
        }
    }
}

#[async_trait]
impl Operation for DeclareDead {
    type Output = bool;

    fn name(&self) -> String {
        format!("the declaration that node {} is dead", self.incarnation)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let (cluster, life) = (&self.cluster, self.incarnation);
        let (row, beat) = try_join(
            node_row(layout, tx, cluster, life),
            // A renewal that comes in between makes the declaration look again.
            beat(layout, tx, cluster, life, Reading::Guarded),
        )
        .await?;
        let Some(mut row) = row else {
            return Ok(Step::Read(true));
        };
        if row.state == NodeState::Dead {
            return Ok(Step::Read(true));
        }
        if self.observed.is_some() && self.observed != beat {
            return Ok(Step::Read(false));
        }
        row.state = NodeState::Dead;
        tx.set(&layout.node(cluster, life), &encode(&row)?);
        Ok(Step::Write(true))
    }
}

#[async_trait]
impl Operation for Nodes {
    type Output = Vec<NodeRecord>;

    fn name(&self) -> String {
        format!("reading the nodes of {}", self.cluster)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let nodes = all(layout, tx, &self.cluster, Reading::Snapshot).await?;
        Ok(Step::Read(nodes))
    }
}
