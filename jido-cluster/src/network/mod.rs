//! The real transport: sessions between nodes over TCP.
//!
//! Sessions are those of `ractor_cluster`, and our envelopes travel over them in
//! frames of up to 64 KiB between two gateway actors a node. Connections are
//! accepted and dialed here: the two ends say hello, then the session layer does
//! its handshake over the cookie.
//!
//! The session layer's registries belong to the process, so a process can have
//! one [`NetworkTransport`] at a time.

mod acceptor;
mod address;
mod attempt;
mod connection;
mod cookie;
mod counters;
mod detector;
mod dialer;
#[cfg(feature = "dns")]
mod dns;
mod flaps;
mod frame;
mod gateway;
mod handshake;
mod heartbeat;
mod hello;
mod lane;
mod link;
mod lookout;
mod options;
mod proof;
mod server;
mod session;
mod sessions;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jido_core::Incarnation;
use parking_lot::Mutex;
use ractor::SpawnErr;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::acceptor::Limits;
pub use self::cookie::{Cookie, MIN_COOKIE_LEN};
pub(crate) use self::counters::Counters;
pub use self::counters::NetworkStats;
pub use self::detector::Detection;
use self::dialer::{Dialing, Settling, Target, Unsettled};
#[cfg(feature = "dns")]
pub use self::dns::Dns;
use self::hello::Hello;
pub use self::options::NetworkOptions;
use self::server::{Course, reached};
use self::sessions::Sessions;
pub use self::tls::Tls;
use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::runtime::spawn;
use crate::transport::{Inbox, MAX_ENVELOPE_LEN, Peer, SendError, Transport};

/// How long a stop waits for peers to get what was sent to them.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// A [`Transport`] over TCP.
#[derive(Debug)]
pub struct NetworkTransport {
    options: NetworkOptions,
    environment: Arc<dyn Environment>,
    counters: Arc<Counters>,
    unsettled: Arc<Unsettled>,
    course: watch::Sender<Course>,
    running: OnceLock<Running>,
}

#[derive(Debug)]
struct Running {
    sessions: Arc<Sessions>,
    /// All but the dialers of nodes that were found.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    found: Mutex<BTreeMap<Incarnation, JoinHandle<()>>>,
}

impl NetworkTransport {
    /// Checks the options. Nothing runs before [`Transport::start`].
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a value out of its range, when an address is
    /// not `host:port`, when `advertise` is missing though `listen` is `0.0.0.0` or `[::]`, and when
    /// not every address is loopback and the cookie is shorter than [`MIN_COOKIE_LEN`] or there is
    /// neither TLS nor consent to plain text; [`Startup`](ErrorKind::Startup) when the
    /// certificate is not for the node.
    pub fn new(options: NetworkOptions, environment: Arc<dyn Environment>) -> Result<Self, Error> {
        Self::counted(options, environment, Arc::default())
    }

    /// The same, with counters that a former life of the node had.
    pub(crate) fn counted(
        options: NetworkOptions,
        environment: Arc<dyn Environment>,
        counters: Arc<Counters>,
    ) -> Result<Self, Error> {
        options.check()?;
        let unsettled = Arc::new(Unsettled::new(options.sources()));
        let course = watch::Sender::new(Course::Running);
        Ok(Self {
            options,
            environment,
            counters,
            unsettled,
            course,
            running: OnceLock::new(),
        })
    }

    /// How many sessions there are, whether ready or opening. It takes a lock that
    /// is held during calls to an inbox, so an inbox must not ask.
    pub fn session_count(&self) -> usize {
        self.running
            .get()
            .map_or(0, |running| running.sessions.count())
    }

    /// What became of connections so far.
    pub fn stats(&self) -> NetworkStats {
        self.counters.stats()
    }

    fn dialing(&self, sessions: &Arc<Sessions>) -> Dialing {
        Dialing {
            sessions: sessions.clone(),
            cookie: self.options.cookie.clone(),
            tls: self.options.tls.clone(),
        }
    }

    fn spawn_dialer(
        &self,
        sessions: &Arc<Sessions>,
        target: Target,
        settling: Option<Settling>,
    ) -> JoinHandle<()> {
        let dialing = dialer::dial(target, self.dialing(sessions), settling);
        self.spawn_until_leaving(dialing)
    }

    /// Starts a task that ends when the transport begins to stop.
    fn spawn_until_leaving(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let mut course = self.course.subscribe();
        spawn(async move {
            tokio::select! { biased;
                () = reached(&mut course, Course::Leaving) => {}
                () = task => {}
            }
        })
    }

    /// Starts the actors, and the tasks that keep them: first the gateways, which
    /// must be there before the first session.
    async fn start_actors(
        &self,
        sessions: &Arc<Sessions>,
    ) -> Result<Vec<JoinHandle<()>>, SpawnErr> {
        let mut tasks = Vec::new();
        for index in 0..gateway::GATEWAYS {
            let started = gateway::start(sessions.clone(), index).await?;
            let kept = sessions.clone();
            let again = move || gateway::start(kept.clone(), index);
            let course = self.course.subscribe();
            tasks.push(spawn(server::keep(
                "gateway",
                started,
                sessions.clone(),
                course,
                again,
            )));
        }
        let cookie = self.options.cookie.clone();
        let started = server::start(sessions.clone(), cookie.clone()).await?;
        let kept = sessions.clone();
        let again = move || server::start(kept.clone(), cookie.clone());
        let course = self.course.subscribe();
        tasks.push(spawn(server::keep(
            "session server",
            started,
            sessions.clone(),
            course,
            again,
        )));
        Ok(tasks)
    }
}

#[async_trait]
impl Transport for NetworkTransport {
    async fn start(&self, inbox: Arc<dyn Inbox>) -> Result<(), Error> {
        let startup = |message: String| Error::new(ErrorKind::Startup, message);
        let NetworkOptions {
            cluster,
            name,
            incarnation,
            listen,
            advertise,
            seeds,
            detection,
            cookie,
            ..
        } = &self.options;
        let cannot_listen = |error: std::io::Error| {
            startup(format!("listen: {listen} can't be listened at")).caused_by(error)
        };
        let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
        let local = listener.local_addr().map_err(cannot_listen)?;
        let me = Peer {
            name: name.clone(),
            incarnation: *incarnation,
            address: advertise.clone().unwrap_or_else(|| local.to_string()),
        };
        let sessions = Arc::new(Sessions::new(
            Hello::new(cluster.clone(), me, detection.unreachable_after),
            inbox,
            self.environment.clone(),
            self.counters.clone(),
            self.options.busy_poll,
        ));
        let running = Running {
            sessions: sessions.clone(),
            tasks: Mutex::default(),
            found: Mutex::default(),
        };
        self.running
            .set(running)
            .map_err(|_| startup("the transport is started a second time".to_owned()))?;
        let mut tasks = match self.start_actors(&sessions).await {
            Ok(tasks) => tasks,
            Err(error) => {
                self.course.send_replace(Course::Stopped);
                return Err(
                    startup("the session layer can't be started".to_owned()).caused_by(error)
                );
            }
        };
        let limits = Limits {
            strangers: self.options.max_strangers,
            sessions: self.options.max_sessions,
        };
        let tls = self.options.tls.clone();
        let accepting = acceptor::accept(listener, sessions.clone(), cookie.clone(), tls, limits);
        tasks.push(self.spawn_until_leaving(accepting));
        let watching = heartbeat::watch(*detection, sessions.clone());
        tasks.push(self.spawn_until_leaving(watching));
        for seed in seeds {
            let settling = self.unsettled.settling();
            let seed = Target::Seed(seed.clone());
            tasks.push(self.spawn_dialer(&sessions, seed, Some(settling)));
        }
        #[cfg(feature = "dns")]
        if let Some(dns) = &self.options.dns {
            let dialing = self.dialing(&sessions);
            let discovering = dns::discover(dns.clone(), dialing, self.unsettled.settling());
            tasks.push(self.spawn_until_leaving(discovering));
        }
        if let Some(running) = self.running.get() {
            running.tasks.lock().append(&mut tasks);
        }
        Ok(())
    }

    fn address(&self) -> String {
        match self.running.get() {
            Some(running) => running.sessions.me().address.clone(),
            None => self
                .options
                .advertise
                .clone()
                .unwrap_or_else(|| self.options.listen.to_string()),
        }
    }

    fn send(&self, to: Incarnation, lane: u64, envelope: &[u8]) -> Result<(), SendError> {
        if envelope.len() > MAX_ENVELOPE_LEN {
            return Err(SendError::TooLarge {
                len: envelope.len(),
            });
        }
        self.running
            .get()
            .ok_or(SendError::Unreachable)?
            .sessions
            .send(to, lane, envelope)
    }

    fn discovered(&self, peer: Peer) {
        let Some(running) = self.running.get() else {
            return;
        };
        // One of the two dials: the one whose name is smaller.
        if self.options.name >= peer.name || running.sessions.is_up(peer.incarnation) {
            return;
        }
        if let Err(error) = address::check(&peer.address) {
            tracing::warn!(peer = %peer.name, error, "a node was found that can't be dialed");
            return;
        }
        let mut found = running.found.lock();
        found.retain(|_, dialer| !dialer.is_finished());
        found.entry(peer.incarnation).or_insert_with(|| {
            let Peer {
                incarnation,
                address,
                ..
            } = peer;
            self.spawn_dialer(
                &running.sessions,
                Target::Found {
                    incarnation,
                    address,
                },
                None,
            )
        });
    }

    fn is_settled(&self) -> bool {
        self.unsettled.is_none()
    }

    async fn stop(&self) {
        let Some(running) = self.running.get() else {
            return;
        };
        self.course.send_if_modified(|course| {
            let is_running = *course == Course::Running;
            if is_running {
                *course = Course::Leaving;
            }
            is_running
        });
        if timeout(GOODBYE_WITHIN, running.sessions.say_goodbye())
            .await
            .is_err()
        {
            tracing::warn!("peers didn't take all that was sent to them before the stop");
        }
        running.sessions.end_all();
        self.course.send_replace(Course::Stopped);
        let mut tasks = std::mem::take(&mut *running.tasks.lock());
        tasks.extend(std::mem::take(&mut *running.found.lock()).into_values());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the transport failed");
            }
        }
    }
}
