//! A cluster of processes.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::builder::ProcessClusterBuilder;
use super::client::DemoClient;
use super::node::{Launch, ProcessNode};
use super::place::Place;
use super::replies::Member;
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// How often a node is asked who its members are.
const JOIN_POLL: Duration = Duration::from_millis(20);

/// Nodes in processes of their own, on loopback or in
/// [`Namespaces`](super::Namespaces).
///
/// Dropping it kills them all, also while a test panics; then the ends of their
/// logs are printed, and the logs are kept. When the test itself is killed,
/// they die too, if util-linux's `setpriv` is installed.
///
/// ```no_run
/// # async fn example() -> Result<(), jido_testkit::Error> {
/// use jido_testkit::process::ProcessCluster;
///
/// let mut cluster =
///     ProcessCluster::builder("target/debug/counter-node").shared_lmdb().start().await?;
/// let before = cluster.client("n1")?.inc("key").await?;
/// cluster.kill(&before.owner).await?;
/// # Ok(()) }
/// ```
pub struct ProcessCluster {
    launch: Launch,
    ready_within: Duration,
    nodes: Vec<ProcessNode>,
    /// Where further nodes run; none: on loopback.
    places: Option<VecDeque<Place>>,
    /// Taken when the directory is to be kept.
    dir: Option<TempDir>,
}

impl fmt::Debug for ProcessCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCluster")
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl ProcessCluster {
    /// Begins to describe a cluster of nodes of this program. Every node gets a
    /// cookie of the cluster's own.
    pub fn builder(program: impl Into<PathBuf>) -> ProcessClusterBuilder {
        ProcessClusterBuilder::new(program.into())
    }

    pub(super) fn new(
        launch: Launch,
        ready_within: Duration,
        places: Option<Vec<Place>>,
        dir: TempDir,
    ) -> Self {
        Self {
            launch,
            ready_within,
            nodes: Vec::new(),
            places: places.map(VecDeque::from),
            dir: Some(dir),
        }
    }

    /// Starts the first nodes at once, and waits until they are ready.
    pub(super) async fn start_first(&mut self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            self.new_node()?;
        }
        let addresses: Vec<String> = self.nodes.iter().map(ProcessNode::peer_address).collect();
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let mut seeds = addresses.clone();
            seeds.remove(at);
            node.launch(&self.launch, &seeds)?;
        }
        for node in &mut self.nodes {
            node.wait_ready(self.ready_within).await?;
        }
        Ok(())
    }

    /// All nodes, running or not, in the order in which they were added.
    pub fn nodes(&self) -> &[ProcessNode] {
        &self.nodes
    }

    /// The node of that name.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode).
    pub fn node(&self, name: &str) -> Result<&ProcessNode, Error> {
        self.nodes
            .iter()
            .find(|node| node.name() == name)
            .ok_or_else(|| no_such_node(name))
    }

    /// A client of the node of that name.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode).
    pub fn client(&self, name: &str) -> Result<DemoClient, Error> {
        self.node(name).map(|node| node.client().clone())
    }

    /// Clients of all nodes, in their order.
    pub fn clients(&self) -> Vec<DemoClient> {
        let nodes = self.nodes.iter();
        nodes.map(|node| node.client().clone()).collect()
    }

    /// The cluster's temporary directory, which goes with it.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_ref().map(TempDir::path)
    }

    /// Kills a node (SIGKILL) and waits for its end.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when it does not run.
    pub async fn kill(&mut self, name: &str) -> Result<(), Error> {
        self.node_mut(name)?.kill().await
    }

    /// Kills several nodes at once: each is sent SIGKILL before the end of any is
    /// waited for.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when one of them does not run; those before
    /// it have been killed then.
    pub async fn kill_together(&mut self, names: &[String]) -> Result<(), Error> {
        for name in names {
            self.node(name)?.signal(Signal::KILL)?;
        }
        for name in names {
            self.node_mut(name)?.wait_killed().await?;
        }
        Ok(())
    }

    /// Pauses a node (SIGSTOP), and waits until all of its threads have stopped: it keeps its
    /// connections and does nothing.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when it does not run, or
    /// [`TooSlow`](ErrorKind::TooSlow) when it has not stopped in 10 s.
    pub async fn pause(&mut self, name: &str) -> Result<(), Error> {
        self.node(name)?.pause().await
    }

    /// Has a paused node go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when it does not run.
    pub fn resume(&mut self, name: &str) -> Result<(), Error> {
        self.node(name)?.signal(Signal::CONT)
    }

    /// Asks a node to end (SIGTERM) and waits until it has, for so long.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when it does not run, or
    /// [`TooSlow`](ErrorKind::TooSlow); then it goes on running.
    pub async fn terminate(&mut self, name: &str, within: Duration) -> Result<ExitStatus, Error> {
        let node = self.node_mut(name)?;
        node.signal(Signal::TERM)?;
        node.wait_exit(within).await
    }

    /// Waits for a node to end by itself, for so long.
    ///
    /// # Errors
    ///
    /// As [`ProcessCluster::terminate`].
    pub async fn wait_exit(&mut self, name: &str, within: Duration) -> Result<ExitStatus, Error> {
        self.node_mut(name)?.wait_exit(within).await
    }

    /// Starts a node that has ended, with the name and the ports that it had, and
    /// waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`ProcessClusterBuilder::start`], and
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when it runs.
    pub async fn restart(&mut self, name: &str) -> Result<(), Error> {
        let seeds = self.addresses_but(name);
        let (launch, within) = (self.launch.clone(), self.ready_within);
        let node = self.node_mut(name)?;
        node.launch(&launch, &seeds)?;
        node.wait_ready(within).await
    }

    /// Waits until a node that runs says that it is ready, for as long as one may take
    /// to start.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when it does not run,
    /// [`Exited`](ErrorKind::Exited) when it ends, or
    /// [`TooSlow`](ErrorKind::TooSlow), both with the end of its log.
    pub async fn wait_ready(&mut self, name: &str) -> Result<(), Error> {
        let within = self.ready_within;
        self.node_mut(name)?.wait_ready(within).await
    }

    /// Waits until every node that runs has all those that run, and no other, as its
    /// members, for as long as one may take to start.
    ///
    /// # Errors
    ///
    /// [`TooSlow`](ErrorKind::TooSlow), with what was seen last.
    pub async fn wait_joined(&self) -> Result<(), Error> {
        let running = || self.nodes.iter().filter(|node| node.pid().is_some());
        // Members come in the order of their names, in which n10 stands before n2.
        let names: BTreeSet<&str> = running().map(ProcessNode::name).collect();
        let deadline = now() + self.ready_within;
        for node in running() {
            loop {
                let seen = match node.client().members().await {
                    Ok(members) => {
                        let seen = staying(&members);
                        if seen == names {
                            break;
                        }
                        format!("{seen:?}")
                    }
                    Err(error) => error.to_string(),
                };
                if now() > deadline {
                    return Err(Error::new(
                        ErrorKind::TooSlow,
                        format!("{} sees {seen}, not {names:?}", node.name()),
                    ));
                }
                tokio::time::sleep(JOIN_POLL).await;
            }
        }
        Ok(())
    }

    /// Adds a node, waits until it is ready, and gives its name.
    ///
    /// # Errors
    ///
    /// As [`ProcessClusterBuilder::start`], and
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when no namespace is left for it.
    pub async fn add(&mut self) -> Result<String, Error> {
        let name = self.new_node()?;
        self.restart(&name).await?;
        Ok(name)
    }

    fn new_node(&mut self) -> Result<String, Error> {
        let name = format!("n{}", self.nodes.len() + 1);
        let logs = self
            .dir()
            .map(Path::to_owned)
            .unwrap_or_else(std::env::temp_dir);
        let place = match &mut self.places {
            None => Place::on_loopback()?,
            Some(left) => left.pop_front().ok_or_else(|| {
                Error::new(
                    ErrorKind::NoSuchNode,
                    format!("no namespace was made for {name}"),
                )
            })?,
        };
        self.nodes
            .push(ProcessNode::new(name.clone(), &logs, place));
        Ok(name)
    }

    fn node_mut(&mut self, name: &str) -> Result<&mut ProcessNode, Error> {
        self.nodes
            .iter_mut()
            .find(|node| node.name() == name)
            .ok_or_else(|| no_such_node(name))
    }

    fn addresses_but(&self, name: &str) -> Vec<String> {
        let others = self.nodes.iter().filter(|node| node.name() != name);
        others.map(ProcessNode::peer_address).collect()
    }

    /// Writes the end of every node's log.
    ///
    /// # Errors
    ///
    /// What `out` answers with.
    pub fn write_logs(&self, out: &mut impl Write) -> std::io::Result<()> {
        for node in &self.nodes {
            writeln!(
                out,
                "---- the end of {}'s log\n{}",
                node.name(),
                node.log().tail()
            )?;
        }
        Ok(())
    }

    /// Leaves the temporary directory, with logs and data, where it is once the
    /// cluster is dropped, and gives its path.
    pub fn keep_dir(&mut self) -> Option<PathBuf> {
        self.dir.as_mut().map(|dir| {
            dir.disable_cleanup(true);
            dir.path().to_owned()
        })
    }
}

impl Drop for ProcessCluster {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(ProcessNode::start_kill);
        self.nodes.iter_mut().for_each(ProcessNode::reap);
        if std::thread::panicking() {
            let mut stderr = std::io::stderr().lock();
            // There is nowhere to report it if stderr is gone.
            let _ = self.write_logs(&mut stderr);
            if let Some(dir) = self.keep_dir() {
                let _ = writeln!(stderr, "---- logs are kept in {}", dir.display());
            }
        }
    }
}

/// Those members that are not about to go.
fn staying(members: &[Member]) -> BTreeSet<&str> {
    let staying = members.iter().filter(|member| !member.leaving);
    staying.map(|member| member.name.as_str()).collect()
}

fn no_such_node(name: &str) -> Error {
    Error::new(ErrorKind::NoSuchNode, format!("there is no node {name}"))
}

#[cfg(test)]
mod tests;
