//! One life's way to storage.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jido_cluster::storage::{
    AgentRecord, AppendOutcome, Capabilities, ClaimOutcome, ClaimRequest, Commit, CommittedRequest,
    DirectoryPage, DirectoryQuery, Error, ErrorKind, Loaded, NodeRecord, NodeRegistration, Registration, Renewal,
    Storage,
};
use jido_cluster::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Change, Course, Fate, Server};

/// Why an operation has no result.
enum Failure {
    /// It took no effect and never will.
    NotDone,
    /// It may have taken effect, or may yet.
    Unknown,
}

/// The connection of one life of one node, cut when it crashes.
#[derive(Clone)]
pub(in crate::sim) struct Connection(Arc<Inner>);

struct Inner {
    server: Server,
    node: String,
    label: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    dead: bool,
    paused: bool,
    /// What happens when the node goes on.
    deferred: Vec<Box<dyn FnOnce() + Send>>,
}

/// An operation as the memory adapter carries it out, with its line for the trace.
type Apply<T> = Box<dyn FnOnce(Server) -> BoxFuture<'static, (T, String)> + Send>;

impl Connection {
    pub(in crate::sim) fn new(server: &Server, node: &str, label: &str) -> Self {
        Self(Arc::new(Inner {
            server: server.clone(),
            node: node.to_owned(),
            label: label.to_owned(),
            state: Mutex::default(),
        }))
    }

    /// Cuts the connection for good: what was sent may take effect, nothing comes back,
    /// and all that is tried from now on fails without a trace.
    pub(in crate::sim) fn kill(&self) {
        let mut state = self.0.state.lock();
        state.dead = true;
        state.deferred.clear();
    }

    /// Nothing is sent, and nothing comes back, until the node goes on.
    pub(in crate::sim) fn pause(&self) {
        self.0.state.lock().paused = true;
    }

    /// Lets through what a pause has held.
    pub(in crate::sim) fn resume(&self) {
        let mut state = self.0.state.lock();
        state.paused = false;
        for then in std::mem::take(&mut state.deferred) {
            self.0.server.0.world.after(Duration::ZERO, then);
        }
    }

    /// Does something when the node can: now, when it goes on, or never.
    fn when_awake(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        if state.dead {
            return;
        }
        if state.paused {
            state.deferred.push(Box::new(then));
            return;
        }
        drop(state);
        then();
    }

    async fn carry<T: Send + 'static>(
        &self,
        what: &'static str,
        apply: Apply<T>,
    ) -> Result<T, Failure> {
        if self.0.state.lock().dead {
            return Err(Failure::NotDone);
        }
        let course = self.0.server.course(&self.0.node);
        let (done, outcome) = oneshot::channel();
        let me = self.clone();
        self.when_awake(move || me.request(what, course, apply, done));
        // A crash drops the way back.
        outcome.await.unwrap_or(Err(Failure::Unknown))
    }

    fn request<T: Send + 'static>(
        self,
        what: &'static str,
        course: Course,
        apply: Apply<T>,
        done: oneshot::Sender<Result<T, Failure>>,
    ) {
        let world = self.0.server.0.world.clone();
        let back = course.back;
        let respond = move |me: Self, result| {
            let world = me.0.server.0.world.clone();
            world.after(back, move || {
                me.clone().when_awake(move || drop(done.send(result)));
            });
        };
        let Course { fate, there, .. } = course;
        let label = self.0.label.clone();
        match fate {
            Fate::Well | Fate::After => world.clone().after(there, move || {
                let result = self.apply(what, fate, apply);
                match fate {
                    Fate::Well => respond(self, result.ok_or(Failure::Unknown)),
                    _ => {
                        world.count("storage: failed after");
                        respond(self, Err(Failure::Unknown));
                    }
                }
            }),
            Fate::Before => {
                world.note(format_args!("sto {label} {what} fails before"));
                world.count("storage: failed before");
                respond(self, Err(Failure::NotDone));
            }
            Fate::Lost => {
                world.note(format_args!("sto {label} {what} is lost"));
                world.count("storage: lost");
                respond(self, Err(Failure::Unknown));
            }
            Fate::Late => {
                world.note(format_args!("sto {label} {what} will be late"));
                world.count("storage: late");
                let me = self.clone();
                world.after(there + course.back + course.late, move || {
                    me.apply(what, fate, apply);
                });
                respond(self, Err(Failure::Unknown));
            }
        }
    }

    fn apply<T>(&self, what: &str, fate: Fate, apply: Apply<T>) -> Option<T> {
        let server = &self.0.server;
        server.0.state.lock().fate = Some(fate);
        // The memory adapter never waits.
        let (result, line) = apply(server.clone()).now_or_never()?;
        let label = &self.0.label;
        server
            .0
            .world
            .note(format_args!("sto {label} {what} {line}"));
        Some(result)
    }

    /// An operation that answers with an error of storage.
    async fn try_to<T: Send + 'static>(
        &self,
        what: &'static str,
        apply: Apply<Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.carry(what, apply).await {
            Ok(result) => result,
            Err(failure) => Err(failure.error(what)),
        }
    }
}

impl Failure {
    fn error(&self, what: &str) -> Error {
        let how = match self {
            Self::NotDone => "did not get through",
            Self::Unknown => "was not answered",
        };
        Error::new(ErrorKind::Unavailable, format!("{what} {how}"))
    }

    fn outcome(self) -> AppendOutcome {
        let error = self.error("a commit");
        match self {
            Self::NotDone => AppendOutcome::Failed(error),
            Self::Unknown => AppendOutcome::Unknown(error),
        }
    }
}

/// Wraps what the memory adapter does: the result itself, and its line in the trace.
macro_rules! apply {
    (|$server:ident| $result:expr, $value:ident => $line:expr) => {
        Box::new(move |$server: Server| {
            async move {
                let $value = $result;
                let line = $line;
                ($value, line)
            }
            .boxed()
        })
    };
}

#[async_trait]
impl Storage for Connection {
    fn capabilities(&self) -> Capabilities {
        // It outlives the crash of any simulated node.
        Capabilities {
            durable: true,
            ..self.0.server.0.memory.capabilities()
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        let apply = apply!(|server| server.0.memory.register_node(node).await,
            result => match &result {
                Ok(Registration::Registered(record)) => format!("beat {}", record.beat),
                Ok(Registration::NameTaken(other)) => format!("taken, beat {}", other.beat),
                Err(error) => error.to_string(),
            });
        self.try_to("register", apply).await
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        let cluster = cluster.clone();
        let apply = apply!(|server| server.0.memory.renew_node(&cluster, life).await,
            result => format!("{result:?}"));
        self.try_to("renew", apply).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let cluster = cluster.clone();
        let apply = apply!(|server| {
            let dead = server.0.memory.declare_dead(&cluster, life, observed).await;
            server.count_if(matches!(dead, Ok(true)), "declared dead");
            dead
        }, result => format!("{life} {result:?}"));
        self.try_to("declare dead", apply).await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        let cluster = cluster.clone();
        let apply = apply!(|server| server.0.memory.nodes(&cluster).await,
            result => format!("{}", result.as_ref().map_or(0, Vec::len)));
        self.try_to("nodes", apply).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let (id, owner, taken) = (claim.id.clone(), claim.claimant, claim.take_from);
        let apply = apply!(|server| {
            let outcome = server.0.memory.claim(claim).await;
            server.claimed(&id, owner, taken.is_some(), &outcome);
            outcome
        }, result => format!("{} {result:?}", id.key));
        self.try_to("claim", apply).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let id = id.clone();
        let apply = apply!(|server| server.0.memory.load(&id).await, result => match &result {
            Ok(Some(loaded)) => format!("{} {}", id.key, loaded.record.revision),
            _ => format!("{} none", id.key),
        });
        self.try_to("load", apply).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let id = id.clone();
        let apply = apply!(|server| server.0.memory.head(&id).await,
            _result => id.key.to_string());
        self.try_to("head", apply).await
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let id = id.clone();
        let apply = apply!(|server| server.0.memory.read_thread(&id, from, limit).await,
            _result => id.key.to_string());
        self.try_to("thread", apply).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        let id = id.clone();
        let apply = apply!(|server| server.0.memory.reply_of(&id, request).await,
            _result => id.key.to_string());
        self.try_to("reply", apply).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let count = commits.len();
        let apply = apply!(|server| server.append(commits).await,
            result => format!("{result:?}"));
        match self.carry("append", apply).await {
            Ok(outcomes) => outcomes,
            Err(Failure::NotDone) => outcomes(count, || Failure::NotDone),
            Err(Failure::Unknown) => outcomes(count, || Failure::Unknown),
        }
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        let id = id.clone();
        let apply = apply!(|server| {
            let outcome = server.0.memory.delete(&id, epoch, at).await;
            if let AppendOutcome::Committed(revision) = outcome {
                server.record(&id, epoch, Change::Deleted { revision });
                server.0.world.count("deleted");
            }
            outcome
        }, result => format!("{} {result:?}", id.key));
        self.carry("delete", apply)
            .await
            .unwrap_or_else(Failure::outcome)
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let apply = apply!(|server| server.0.memory.directory(query).await,
            _result => String::new());
        self.try_to("directory", apply).await
    }
}

fn outcomes(count: usize, failure: impl Fn() -> Failure) -> Vec<AppendOutcome> {
    (0..count).map(|_| failure().outcome()).collect()
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("life", &self.0.label)
            .finish_non_exhaustive()
    }
}
