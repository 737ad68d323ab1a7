//! The records of nodes.

use std::collections::BTreeMap;

use jido_core::{ClusterName, Incarnation};
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::database::arguments;
use super::json;
use super::row::{Of, Reader, compared, time, uuid};
use crate::{Error, ErrorKind, NodeRecord, NodeRegistration, NodeState, Registration, Renewal};

/// How often a registration looks anew when what stood in its way is gone.
const ATTEMPTS: usize = 32;

impl PostgresStorage {
    pub(super) async fn register(&self, node: NodeRegistration) -> Result<Registration, Error> {
        node.check()?;
        for _attempt in 0..ATTEMPTS {
            let registered = self
                .leases
                .run_here(
                    include_str!("sql/register.sql"),
                    arguments!(
                        node.cluster.as_str(),
                        uuid(node.incarnation),
                        node.name.as_str(),
                        &*node.address,
                        metadata(&node.metadata)?,
                        time(node.at),
                    )?,
                )
                .await?;
            if let Some(row) = registered.first() {
                return Ok(Registration::Registered(record(row, &node.cluster)?));
            }
            let in_the_way = self
                .leases
                .run_here(
                    include_str!("sql/registered.sql"),
                    arguments!(
                        node.cluster.as_str(),
                        uuid(node.incarnation),
                        node.name.as_str(),
                    )?,
                )
                .await?;
            if let Some(row) = in_the_way.first() {
                let found = record(row, &node.cluster)?;
                let ours = found.incarnation == node.incarnation && found.state == NodeState::Up;
                return Ok(match ours {
                    true => Registration::Registered(found),
                    false => Registration::NameTaken(found),
                });
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("node {} comes and goes faster than it registers", node.name),
        ))
    }

    pub(super) async fn renew(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error> {
        let rows = self
            .leases
            .run_here(
                include_str!("sql/renew.sql"),
                arguments!(cluster.as_str(), uuid(incarnation))?,
            )
            .await?;
        match rows.first() {
            None => Ok(Renewal::Dead),
            Some(row) => Ok(Renewal::Renewed(
                Reader::new(row, Of::Node(incarnation)).number("beat")?,
            )),
        }
    }

    pub(super) async fn declare(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let observed = observed.map(compared);
        let rows = self
            .leases
            .run_here(
                include_str!("sql/declare_dead.sql"),
                arguments!(cluster.as_str(), uuid(incarnation), observed)?,
            )
            .await?;
        match rows.first() {
            // A life without a record is dead.
            None => Ok(true),
            Some(row) => Reader::new(row, Of::Node(incarnation)).get("dead"),
        }
    }

    pub(super) async fn all_nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        let rows = self
            .leases
            .run_here(include_str!("sql/nodes.sql"), arguments!(cluster.as_str())?)
            .await?;
        rows.iter().map(|row| record(row, cluster)).collect()
    }
}

fn record(row: &PgRow, cluster: &ClusterName) -> Result<NodeRecord, Error> {
    Reader::new(row, Of::Nodes(cluster)).node()
}

fn metadata(pairs: &BTreeMap<String, String>) -> Result<String, Error> {
    let json = json::of_pairs(pairs)?;
    Ok(json.unwrap_or_else(|| "{}".to_owned()))
}
