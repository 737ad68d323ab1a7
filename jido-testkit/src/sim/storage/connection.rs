//! One life's way to storage.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jido_cluster::storage::{AppendOutcome, Error, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Course, Fate, Server};

/// Why an operation has no result.
pub(super) enum Failure {
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
    /// Whether answers are held.
    deaf: bool,
    /// What happens when the node goes on, and hears again.
    deferred: Vec<Box<dyn FnOnce() + Send>>,
    unheard: Vec<Box<dyn FnOnce() + Send>>,
}

/// An operation as the memory adapter carries it out, with its line for the trace.
pub(super) type Apply<T> = Box<dyn FnOnce(Server) -> BoxFuture<'static, (T, String)> + Send>;

impl Connection {
    pub(in crate::sim) fn new(server: &Server, node: &str, label: &str) -> Self {
        Self(Arc::new(Inner {
            server: server.clone(),
            node: node.to_owned(),
            label: label.to_owned(),
            state: Mutex::default(),
        }))
    }

    pub(super) fn server(&self) -> &Server {
        &self.0.server
    }

    /// Cuts the connection for good: what was sent may take effect, nothing comes back,
    /// and all that is tried from now on fails without a trace.
    pub(in crate::sim) fn kill(&self) {
        let mut state = self.0.state.lock();
        state.dead = true;
        state.deferred.clear();
        state.unheard.clear();
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

    /// Answers are held from now on, or come through again.
    pub(in crate::sim) fn deafen(&self, deaf: bool) {
        let mut state = self.0.state.lock();
        state.deaf = deaf;
        if !deaf {
            for then in std::mem::take(&mut state.unheard) {
                self.0.server.0.world.after(Duration::ZERO, then);
            }
        }
    }

    /// Lets an answer through, as soon as the node can hear it.
    fn when_heard(&self, then: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        if state.deaf && !state.dead {
            let me = self.clone();
            state.unheard.push(Box::new(move || me.when_awake(then)));
            return;
        }
        drop(state);
        self.when_awake(then);
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

    pub(super) async fn carry<T: Send + 'static>(
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
                me.when_heard(move || drop(done.send(result)));
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
    pub(super) async fn try_to<T: Send + 'static>(
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

    pub(super) fn outcome(self) -> AppendOutcome {
        let error = self.error("a commit");
        match self {
            Self::NotDone => AppendOutcome::Failed(error),
            Self::Unknown => AppendOutcome::Unknown(error),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("life", &self.0.label)
            .finish_non_exhaustive()
    }
}
