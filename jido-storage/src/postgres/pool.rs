//! The connections that are kept: how one is opened, and when one is used again.
//!
//! The driver has a pool of its own, which asks the server about a connection whenever one is
//! given back: a round trip more for every statement. And it hands connections out in turn, so
//! that each waits at the server until what it keeps has left the processors' caches.

use std::fmt;
use std::time::{Duration, Instant};

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, WeakPool,
};
use parking_lot::Mutex;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::database::spawn;
use super::settings::open;
use crate::{Error, ErrorKind};

/// A connection that was not used for so long is asked whether it lives before it is used.
/// A busy one is not: it costs a round trip.
const QUIET: Duration = Duration::from_secs(1);

/// For so long after a connection was lost all others are asked too: most often it
/// was the server that went.
const AFTERMATH: Duration = Duration::from_secs(10);

/// A node that has gone quiet leaves its connections to others.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// How often connections are looked through for those that are idle.
const SWEEP: Duration = Duration::from_secs(60);

/// After so long memory that the server keeps for a connection is given back, and a server
/// that was added behind a name is found.
const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// A server that is being started is asked again after pauses from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(320));

/// What the server answers while it is being started, and while ends of connections have not
/// reached it yet.
const NOT_YET: [&str; 2] = ["57P03", "53300"];

/// A connection that is in use; dropped, it is kept.
pub(super) type Used = Object<Connector>;

/// When a connection was lost last.
#[derive(Debug, Default)]
struct LastLoss(Mutex<Option<Instant>>);

impl LastLoss {
    #[allow(
        clippy::disallowed_methods,
        reason = "it says whether to ask a connection, and decides nothing else"
    )]
    fn now() -> Instant {
        Instant::now()
    }

    fn note(&self) {
        *self.0.lock() = Some(Self::now());
    }

    fn is_recent(&self) -> bool {
        let last = *self.0.lock();
        last.is_some_and(|last| Self::now().saturating_duration_since(last) < AFTERMATH)
    }
}

/// Opens connections, and tells whether one may be used again.
pub(super) struct Connector {
    options: PgConnectOptions,
    schema: String,
    last_loss: LastLoss,
}

impl Manager for Connector {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        let mut pause = PAUSES.0;
        loop {
            match open(&self.options, &self.schema).await {
                Err(error) if is_early(&error) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                connected => return connected,
            }
        }
    }

    async fn recycle(
        &self,
        connection: &mut PgConnection,
        metrics: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        if metrics.age() > LIFETIME {
            return Err(RecycleError::message("it is old"));
        }
        if metrics.last_used() > QUIET || self.last_loss.is_recent() {
            connection.ping().await?;
        }
        Ok(())
    }
}

/// Whether a server that is being started may have said so.
fn is_early(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => {
            let code = error.code();
            code.is_some_and(|code| NOT_YET.contains(&&*code))
        }
        _ => false,
    }
}

/// Connections, opened when they are needed. Which was used last is used next.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool<Connector>,
    acquire_timeout: Duration,
}

impl Connections {
    /// Up to so many to the records in a schema, each waited for this long at the most.
    pub(super) fn new(
        options: PgConnectOptions,
        schema: String,
        most: usize,
        acquire_timeout: Duration,
    ) -> Result<Self, Error> {
        let connector = Connector {
            options,
            schema,
            last_loss: LastLoss::default(),
        };
        let pool = Pool::builder(connector)
            .max_size(most)
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error.to_string()))?;
        // It ends by itself.
        drop(spawn(close_idle(pool.weak())));
        Ok(Self {
            pool,
            acquire_timeout,
        })
    }

    /// One to use, that lives where there was a doubt.
    pub(super) async fn acquire(&self) -> Result<Used, sqlx::Error> {
        match tokio::time::timeout(self.acquire_timeout, self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Closed)) => Err(sqlx::Error::PoolClosed),
            // It has no times and no hooks of its own.
            Ok(Err(_)) | Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// One is no good any more: it is closed, and others are asked before they are used.
    pub(super) fn lost(&self, connection: Used) {
        self.pool.manager().last_loss.note();
        drop(Object::take(connection));
    }

    /// Gives none out any more, and closes them, those in use when they come back.
    pub(super) fn close(&self) {
        self.pool.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of what they are opened with, which has a password.
        f.debug_struct("Connections")
            .field("status", &self.pool.status())
            .finish_non_exhaustive()
    }
}

/// Closes connections that are idle, until the pool is gone or closed.
async fn close_idle(pool: WeakPool<Connector>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade().filter(|pool| !pool.is_closed()) else {
            return;
        };
        pool.retain(|_, metrics| metrics.last_used() < IDLE);
    }
}
