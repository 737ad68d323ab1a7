//! What a cluster of processes consists of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::cluster::ProcessCluster;
use super::namespaces::Namespaces;
use super::node::Launch;
use super::place::Place;
use crate::{Error, ErrorKind};

/// How often a start is tried when an address turns out to be in use.
pub(super) const ATTEMPTS: usize = 3;

/// Says what a [`ProcessCluster`] consists of.
#[derive(Clone)]
pub struct ProcessClusterBuilder {
    pub(super) launch: Launch,
    nodes: usize,
    places: Option<Vec<Place>>,
    shared_lmdb: bool,
    ready_within: Duration,
}

impl fmt::Debug for ProcessClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the environment nor the storage: they may hold secrets.
        f.debug_struct("ProcessClusterBuilder")
            .field("program", &self.launch.program)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl ProcessClusterBuilder {
    pub(super) fn new(program: PathBuf) -> Self {
        Self {
            launch: Launch {
                program,
                args: Vec::new(),
                own_args: BTreeMap::new(),
                env: vec![("JIDO_COOKIE".into(), random_cookie().into())],
                storage: "memory".into(),
            },
            nodes: 3,
            places: None,
            shared_lmdb: false,
            ready_within: Duration::from_secs(30),
        }
    }

    /// How many nodes there are at first, named `n1`, `n2` and so on. By default 3.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// What is passed as `--storage`. By default `memory`.
    #[must_use]
    pub fn storage(mut self, storage: impl Into<String>) -> Self {
        self.launch.storage = storage.into();
        self.shared_lmdb = false;
        self
    }

    /// One LMDB folder for all nodes, in the cluster's own temporary directory.
    #[must_use]
    pub fn shared_lmdb(mut self) -> Self {
        self.shared_lmdb = true;
        self
    }

    /// Adds arguments. They come before the ones that the cluster adds, so the
    /// first may be a subcommand.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.launch.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds arguments for the node of that name alone, after those of all.
    #[must_use]
    pub fn args_of<A: Into<OsString>>(
        mut self,
        name: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let own = self.launch.own_args.entry(name.into()).or_default();
        own.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable in the nodes' environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.launch.env.push((name.into(), value.into()));
        self
    }

    /// Has the nodes run in these namespaces, one each, and not on loopback. A node has to be told
    /// that it may speak plain text beyond loopback, or be given certificates.
    #[must_use]
    pub fn namespaces(mut self, namespaces: &Namespaces) -> Self {
        self.places = Some(namespaces.places());
        self
    }

    /// How long a node may take until it is ready. By default 30 s.
    #[must_use]
    pub fn ready_within(mut self, within: Duration) -> Self {
        self.ready_within = within;
        self
    }

    /// Starts all nodes at once and waits until they are ready.
    ///
    /// The processes die with the thread that calls this (see
    /// [`ProcessCluster`]), so it is to be one that outlives the cluster: the one
    /// of a test or of `main`, or a worker of a runtime.
    ///
    /// # Errors
    ///
    /// [`Exited`](ErrorKind::Exited) and [`TooSlow`](ErrorKind::TooSlow), with the
    /// end of the node's log, or [`Machine`](ErrorKind::Machine).
    pub async fn start(self) -> Result<ProcessCluster, Error> {
        let mut attempt = 1;
        loop {
            match self.clone().try_start().await {
                Err(error) if attempt < ATTEMPTS && is_address_in_use(&error) => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_start(mut self) -> Result<ProcessCluster, Error> {
        let dir = tempfile::Builder::new()
            .prefix("jido-cluster-")
            .tempdir()
            .map_err(|cause| {
                Error::new(
                    ErrorKind::Machine,
                    format!("no temporary directory: {cause}"),
                )
                .caused_by(cause)
            })?;
        if self.shared_lmdb {
            let data = dir.path().join("data");
            self.launch.storage = format!("lmdb:{}", data.display());
        }
        let mut cluster = ProcessCluster::new(self.launch, self.ready_within, self.places, dir);
        cluster.start_first(self.nodes).await?;
        Ok(cluster)
    }
}

/// Whether a node ended because something else has its port: the system's text
/// for `EADDRINUSE` stands in its log.
fn is_address_in_use(error: &Error) -> bool {
    error.kind() == ErrorKind::Exited && error.to_string().contains("in use")
}

/// 128 bits are enough to keep clusters on one machine apart.
fn random_cookie() -> String {
    format!("{:032x}", fastrand::u128(..))
}
