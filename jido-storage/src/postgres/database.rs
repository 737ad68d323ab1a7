//! How a statement is run.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use scopeguard::ScopeGuard;
use sqlx::postgres::{PgArguments, PgRow};
use tokio::sync::RwLock;

use super::fault::Fault;
use super::options::PostgresOptions;
use super::pool::Connections;
use crate::{Error, ErrorKind};

/// A database and how long it is waited for.
#[derive(Debug, Clone)]
pub(super) struct Database {
    connections: Connections,
    answer_timeout: Duration,
    /// Held shared by every statement, and alone by who waits for them to end.
    under_way: Arc<RwLock<()>>,
}

impl Database {
    /// One that opens connections when they are needed, up to so many.
    pub(super) fn new(options: &PostgresOptions, connections: u32) -> Result<Self, Error> {
        let (connect, schema) = (options.connect_options(), options.schema.clone());
        let (most, timeout) = (connections as usize, options.acquire_timeout);
        Ok(Self {
            connections: Connections::new(connect, schema, most, timeout)?,
            answer_timeout: options.answer_timeout(),
            under_way: Arc::default(),
        })
    }

    /// Runs a statement in a transaction of its own, to its end, also when nobody
    /// waits for it any more.
    pub(super) async fn run(
        &self,
        sql: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Fault> {
        let database = self.clone();
        spawn(async move { database.run_here(sql, arguments).await })
            .await
            .unwrap_or_else(|_| Err(Fault::lost("the runtime ended under a statement")))
    }

    /// As [`Database::run`], for those who are in a task of their own already, and for what
    /// may be left undone: when nobody waits for it any more, its connection is closed.
    pub(super) async fn run_here(
        &self,
        sql: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Fault> {
        let acquired = self.connections.acquire().await;
        let connection = acquired.map_err(|error| Fault::unsent(&error))?;
        // Nobody has it alone but who closes.
        let under_way = self.under_way.try_read();
        let _under_way = under_way.map_err(|_| Fault::unsent(&sqlx::Error::PoolClosed))?;
        // Unless the statement comes to its end, it is closed and not given back: what still
        // comes on it is not for others.
        let mut connection = scopeguard::guard(connection, |connection| {
            self.connections.lost(connection);
        });
        let query = sqlx::query_with(sql, arguments);
        // All rows, to the very end: it is the server's last word that tells that the
        // transaction is committed, and it comes after the rows.
        let answer = query.fetch_all(&mut **connection);
        let fault = match tokio::time::timeout(self.answer_timeout, answer).await {
            Ok(Ok(rows)) => {
                drop(ScopeGuard::into_inner(connection));
                return Ok(rows);
            }
            Ok(Err(error)) => Fault::sent(&error),
            Err(_elapsed) => Fault::lost(format!(
                "Postgres gave no answer in {:?}",
                self.answer_timeout
            )),
        };
        if !fault.is_lost() {
            drop(ScopeGuard::into_inner(connection));
        }
        Err(fault)
    }

    /// Waits for what is under way and closes all connections.
    pub(super) async fn close(&self) {
        self.connections.close();
        let _none_under_way = self.under_way.write().await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connections.is_closed()
    }
}

/// Starts a task that outlives whoever waits for it.
#[allow(
    clippy::disallowed_methods,
    reason = "what is sent to the server has to be seen to its end"
)]
pub(super) fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::task::spawn(task)
}

/// The values of a statement, in order.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => {{
        let mut arguments = sqlx::postgres::PgArguments::default();
        let added: Result<(), sqlx::error::BoxDynError> = (|| {
            $(sqlx::Arguments::add(&mut arguments, $value)?;)*
            Ok(())
        })();
        match added {
            Ok(()) => Ok(arguments),
            Err(_) => Err($crate::postgres::database::unwritable()),
        }
    }};
}
pub(super) use arguments;

/// What can't be written down as a statement's value: more than the protocol takes.
pub(super) fn unwritable() -> Fault {
    Fault::definite(
        ErrorKind::TooLarge,
        "a value is larger than Postgres takes in one statement",
    )
}
