//! Nodes whose network loses packets: a network namespace for each of them.
//!
//! None of it touches the machine's own network. All namespaces hang on a hub, a namespace too, by
//! two cables each: one for what nodes say to each other, and one for what they are asked by HTTP
//! and ask of the storage. What is dropped is dropped where it arrives, by rules of `nft`, so its
//! sender hears nothing.

mod machine;
mod rules;

use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::place::Place;
use crate::{Error, ErrorKind};
use rules::Rules;

/// The most nodes that the address ranges have room for.
const MOST: usize = 200;

/// Where a node accepts others, and where it answers HTTP: nobody else is in its namespace.
const PEERS_PORT: u16 = 7000;
const HTTP_PORT: u16 = 7001;

/// One end of a way that packets take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'a> {
    /// The node of this name, as other nodes reach it.
    Node(&'a str),
    /// What listens at [`Namespaces::storage`].
    Storage,
}

/// A network namespace for each node of a [`ProcessCluster`](super::ProcessCluster), and a
/// hub between them.
///
/// The thread that makes it stands in the hub until it is dropped: sockets that the thread opens and
/// processes that it starts are there, so a Postgres server that is started then, and clients of the
/// nodes. So it takes a runtime with one thread, as `#[tokio::test]` has, and it is made first and
/// dropped last. Dropping it removes everything, also while a test panics. What a killed process left behind
/// has its process id in its name (`ip netns list` shows it), collides with nothing, and is removed by the next
/// that is made.
///
/// It needs root, iproute2 and nftables; [`missing`](Self::missing) tells whether they are there.
///
/// ```no_run
/// # async fn example() -> Result<(), jido_testkit::Error> {
/// use jido_testkit::postgres::TemporaryPostgres;
/// use jido_testkit::process::{End, Namespaces, ProcessCluster};
///
/// let mut network = Namespaces::new(3)?;
/// let postgres = TemporaryPostgres::builder().own().listen(network.storage()).start().await?;
/// let cluster = ProcessCluster::builder("target/debug/counter-node")
///     .namespaces(&network)
///     .storage(postgres.url())
///     .args(["--plain-text"])
///     .start()
///     .await?;
/// cluster.wait_joined().await?;
/// // n2 hears nothing from n1 any more, and n1 still hears n2.
/// network.cut(End::Node("n1"), End::Node("n2"))?;
/// network.heal()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Namespaces {
    names: machine::Names,
    rules: Rules,
    /// The namespace that the thread came from.
    home: File,
    /// It is the thread that stands in the hub, so this can't go to another.
    _of_this_thread: PhantomData<*const ()>,
}

impl Namespaces {
    /// What is missing on this machine to make some, in words; nothing if they can be made.
    pub fn missing() -> Option<String> {
        machine::missing()
    }

    /// Makes namespaces for so many nodes, `n1` and so on, 1 to 200, and has this thread enter the hub.
    ///
    /// # Errors
    ///
    /// [`Machine`](ErrorKind::Machine) when the machine refuses, with what it said, and for another
    /// number of nodes.
    pub fn new(nodes: usize) -> Result<Self, Error> {
        if !(1..=MOST).contains(&nodes) {
            return Err(Error::new(
                ErrorKind::Machine,
                format!("namespaces for {nodes} nodes: there can be 1 to {MOST}"),
            ));
        }
        machine::remove_leftovers()?;
        let home = open("/proc/thread-self/ns/net")?;
        let all = Self {
            names: machine::Names::new(nodes),
            rules: Rules::default(),
            home,
            _of_this_thread: PhantomData,
        };
        // From here on a failure removes what is there.
        machine::make(&all.names)?;
        for name in all.names.all() {
            machine::nft(name, rules::BASE)?;
        }
        enter(&open(&machine::path(&all.names.hub))?)?;
        Ok(all)
    }

    /// Where a storage for all nodes is to listen, in the hub.
    pub fn storage(&self) -> IpAddr {
        machine::STORAGE.into()
    }

    /// From now on what `from` sends to `to` is dropped, and nobody is told. For both
    /// directions it takes two calls. The nodes' HTTP is never cut.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode), or [`Machine`](ErrorKind::Machine) when the
    /// machine refuses.
    pub fn cut(&mut self, from: End<'_>, to: End<'_>) -> Result<(), Error> {
        let (at, rule) = match (from, to) {
            (from, End::Node(to)) => (
                self.names.nodes[self.place_of(to)?].clone(),
                format!("ip saddr {}", self.address(from)?),
            ),
            (End::Node(from), End::Storage) => (
                self.names.hub.clone(),
                format!(
                    "ip saddr {} ip daddr {}",
                    machine::http_address(self.place_of(from)?),
                    machine::STORAGE
                ),
            ),
            (End::Storage, End::Storage) => {
                return Err(Error::new(
                    ErrorKind::NoSuchNode,
                    "the storage has no way to itself",
                ));
            }
        };
        machine::nft(&at, self.rules.add(&at, rule))
    }

    /// Nothing is dropped any more.
    ///
    /// # Errors
    ///
    /// [`Machine`](ErrorKind::Machine) when the machine refuses.
    pub fn heal(&mut self) -> Result<(), Error> {
        for (at, script) in self.rules.clear() {
            machine::nft(&at, script)?;
        }
        Ok(())
    }

    fn address(&self, end: End<'_>) -> Result<Ipv4Addr, Error> {
        match end {
            End::Node(name) => self.place_of(name).map(machine::peers_address),
            End::Storage => Ok(machine::STORAGE),
        }
    }

    /// The node's number, from 0.
    fn place_of(&self, name: &str) -> Result<usize, Error> {
        let number = name
            .strip_prefix('n')
            .and_then(|number| number.parse().ok());
        number
            .filter(|number| (1..=self.names.nodes.len()).contains(number))
            .map(|number: usize| number - 1)
            .ok_or_else(|| Error::new(ErrorKind::NoSuchNode, format!("no namespace is for {name}")))
    }

    /// Where the nodes run, in their order.
    pub(super) fn places(&self) -> Vec<Place> {
        let nodes = self.names.nodes.iter().enumerate();
        nodes
            .map(|(at, name)| {
                let peers = SocketAddr::from((machine::peers_address(at), PEERS_PORT));
                let http = SocketAddr::from((machine::http_address(at), HTTP_PORT));
                Place::in_namespace(name.clone(), peers, http)
            })
            .collect()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let left = enter(&self.home);
        let removed = machine::remove(self.names.all());
        for failed in [left, removed].into_iter().filter_map(Result::err) {
            // There is nowhere to report it if stderr is gone.
            let _ = writeln!(std::io::stderr(), "---- network namespaces: {failed}");
        }
    }
}

fn open(path: &str) -> Result<File, Error> {
    File::open(path).map_err(|cause| {
        Error::new(
            ErrorKind::Machine,
            format!("{path} can't be opened: {cause}"),
        )
        .caused_by(cause)
    })
}

/// Has this thread go to a network namespace.
fn enter(namespace: &File) -> Result<(), Error> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
        |cause| {
            Error::new(
                ErrorKind::Machine,
                format!("a network namespace can't be entered: {cause}"),
            )
            .caused_by(std::io::Error::from(cause))
        },
    )
}

#[cfg(test)]
mod tests;
