//! Reading rows, and numbers between here and there.

use std::collections::BTreeMap;
use std::fmt;

use jido_core::{
    AgentId, ClusterName, Epoch, Incarnation, ManagerName, NodeName, RequestId, Revision, Seq,
    Timestamp,
};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{Decode, Postgres, Row, Type};

use crate::{AgentRecord, Error, ErrorKind, NodeRecord, NodeState};

/// A number for a column. What is beyond it becomes the largest that fits: no number
/// of a stored record is as large, so a comparison with it says the same.
pub(super) fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number to compare with a column, which none equals where it does not fit.
pub(super) fn compared(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

/// A point in time for a column: until the year 292 million. They are for people.
pub(super) fn time(at: Timestamp) -> i64 {
    clamped(at.0)
}

pub(super) fn uuid(incarnation: Incarnation) -> Uuid {
    Uuid::from_u128(incarnation.0)
}

/// What a row is of, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    Agent(&'a AgentId),
    Entry(&'a AgentId, u64),
    Request(&'a AgentId, RequestId),
    Directory(&'a ClusterName, &'a ManagerName),
    Node(Incarnation),
    Nodes(&'a ClusterName),
    Batch,
    Lookups,
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(id) => write!(f, "the record of agent {id}"),
            Self::Entry(id, seq) => write!(f, "entry {seq} of agent {id}"),
            Self::Request(id, request) => {
                write!(f, "the record of request {request} of agent {id}")
            }
            Self::Directory(cluster, manager) => {
                write!(f, "the record of an agent of {cluster}/{manager}")
            }
            Self::Node(incarnation) => write!(f, "the record of node {incarnation}"),
            Self::Nodes(cluster) => write!(f, "the record of a node of {cluster}"),
            Self::Batch => f.write_str("the outcome of a batch"),
            Self::Lookups => f.write_str("the record of one of many agents"),
        }
    }
}

/// A row that is read column by column.
pub(super) struct Reader<'a> {
    row: &'a PgRow,
    what: Of<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(row: &'a PgRow, what: Of<'a>) -> Self {
        Self { row, what }
    }

    /// An error about a column that can't be read.
    pub(super) fn corrupt(&self, column: &str) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!("{} can't be read: its column {column}", self.what),
        )
    }

    pub(super) fn get<T>(&self, column: &str) -> Result<T, Error>
    where
        T: Decode<'a, Postgres> + Type<Postgres>,
    {
        // The driver's error may show the value.
        self.row.try_get(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn number(&self, column: &str) -> Result<u64, Error> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|_| self.corrupt(column))
    }

    /// A time that may be none.
    pub(super) fn time(&self, column: &str) -> Result<Option<Timestamp>, Error> {
        let at: Option<i64> = self.get(column)?;
        at.map(|at| u64::try_from(at).map(Timestamp))
            .transpose()
            .map_err(|_| self.corrupt(column))
    }

    pub(super) fn incarnation(&self, column: &str) -> Result<Option<Incarnation>, Error> {
        let uuid: Option<Uuid> = self.get(column)?;
        Ok(uuid.map(|uuid| Incarnation(uuid.as_u128())))
    }

    /// Names and values in JSON; none are stored as null.
    pub(super) fn pairs(&self, column: &str) -> Result<BTreeMap<String, String>, Error> {
        let json: Option<&str> = self.get(column)?;
        json.map_or_else(
            || Ok(BTreeMap::new()),
            |json| serde_json::from_str(json).map_err(|_| self.corrupt(column)),
        )
    }

    pub(super) fn agent(&self, id: AgentId) -> Result<AgentRecord, Error> {
        Ok(AgentRecord {
            id,
            owner: self.incarnation("owner")?,
            epoch: Epoch(self.number("epoch")?),
            revision: Revision(self.number("revision")?),
            thread_len: Seq(self.number("thread_len")?),
            created_at: Timestamp(self.number("created_at")?),
            updated_at: Timestamp(self.number("updated_at")?),
        })
    }

    pub(super) fn node(&self) -> Result<NodeRecord, Error> {
        let name: &str = self.get("name")?;
        let incarnation = self.incarnation("incarnation")?;
        Ok(NodeRecord {
            name: NodeName::new(name).map_err(|_| self.corrupt("name"))?,
            incarnation: incarnation.ok_or_else(|| self.corrupt("incarnation"))?,
            beat: self.number("beat")?,
            state: match self.get("state")? {
                "up" => NodeState::Up,
                "dead" => NodeState::Dead,
                _ => return Err(self.corrupt("state")),
            },
            address: self.get("address")?,
            metadata: self.pairs("metadata")?,
            registered_at: Timestamp(self.number("registered_at")?),
        })
    }
}
