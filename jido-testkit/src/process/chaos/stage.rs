//! The cluster that is broken, and its storage.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::Error;
use crate::postgres::TemporaryPostgres;
use crate::process::{ProcessCluster, ProcessClusterBuilder};

/// What is allowed beyond the lease until an agent of a dead owner serves elsewhere: it is
/// declared dead, and the agent claimed and loaded.
const BEYOND_LEASE: Duration = Duration::from_millis(500);

/// What is allowed where the session's end is enough.
const ON_DISCONNECT: Duration = Duration::from_millis(300);

/// Where nodes keep their agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// One LMDB folder for all.
    Lmdb,
    /// A Postgres server of their own, which is thrown away in the end.
    Postgres,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lmdb => "lmdb",
            Self::Postgres => "postgres",
        })
    }
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lmdb" => Ok(Self::Lmdb),
            "postgres" => Ok(Self::Postgres),
            _ => Err(format!("{text:?} is neither lmdb nor postgres")),
        }
    }
}

/// What a cluster consists of.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The nodes' program.
    pub program: PathBuf,
    /// Where they keep their agents.
    pub store: Store,
    /// How many nodes there are.
    pub nodes: usize,
    /// How long their leases last.
    pub lease_ttl: Duration,
    /// Whether agents are taken over as soon as the session to their owner is gone,
    /// and not only once its lease has run out.
    pub on_disconnect: bool,
}

impl Stage {
    /// Three nodes of this program, with leases of 3 s.
    pub fn new(program: impl Into<PathBuf>, store: Store) -> Self {
        Self {
            program: program.into(),
            store,
            nodes: 3,
            lease_ttl: Duration::from_secs(3),
            on_disconnect: false,
        }
    }

    /// When agents of a node that is gone are taken over, as nodes are told it.
    pub fn takeover(&self) -> &'static str {
        match self.on_disconnect {
            true => "on-disconnect",
            false => "after-lease",
        }
    }

    /// How soon after the death of their owner agents serve elsewhere: their p99 is
    /// below that. The time of a lease and 500 ms, or with takeover on disconnect 300 ms.
    pub fn recovery_bound(&self) -> Duration {
        match self.on_disconnect {
            true => ON_DISCONNECT,
            false => self.lease_ttl + BEYOND_LEASE,
        }
    }

    /// Starts the storage and the nodes, and waits until all have met.
    pub(super) async fn start(&self) -> Result<Running, Error> {
        self.start_as(|builder| builder).await
    }

    /// The same with more said about the nodes.
    pub(in crate::process) async fn start_as(
        &self,
        say: impl FnOnce(ProcessClusterBuilder) -> ProcessClusterBuilder,
    ) -> Result<Running, Error> {
        let ttl = format!("{}ms", self.lease_ttl.as_millis());
        let builder = ProcessCluster::builder(&self.program)
            .nodes(self.nodes)
            .args(["--takeover", self.takeover(), "--lease-ttl", &ttl]);
        let builder = say(builder);
        let (builder, postgres) = match self.store {
            Store::Lmdb => (builder.shared_lmdb(), None),
            Store::Postgres => {
                let postgres = TemporaryPostgres::builder().own().start().await?;
                (builder.storage(postgres.url()), Some(postgres))
            }
        };
        let cluster = builder.start().await?;
        cluster.wait_joined().await?;
        Ok(Running { cluster, postgres })
    }
}

/// A cluster that runs.
#[derive(Debug)]
pub(in crate::process) struct Running {
    pub(in crate::process) cluster: ProcessCluster,
    pub(in crate::process) postgres: Option<TemporaryPostgres>,
}
