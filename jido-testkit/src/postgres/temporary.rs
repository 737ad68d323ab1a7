//! The server that tests are given.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use parking_lot::Mutex;
use rustix::process::Signal;
use url::Url;

use super::builder::TemporaryPostgresBuilder;
use super::psql;
use super::server::{Access, Server, Shutdown};
use crate::process::Log;
use crate::{Error, ErrorKind};

/// A Postgres server that lives as long as this does.
///
/// It is made by `initdb` in a temporary folder from the programs that
/// `pg_config` tells, else from the newest in `/usr/lib/postgresql`, else from
/// `PATH`; it listens on a free port of 127.0.0.1, or where it is told to, and runs as the user `postgres`
/// where this process is root's. Dropping it stops the server and removes the
/// folder, and so does the end of this process, by SIGKILL too.
///
/// Where `DATABASE_URL` names a server, that one is used, and none is started or
/// stopped. Databases that were made there are dropped with this.
///
/// ```no_run
/// # async fn example() -> Result<(), jido_testkit::Error> {
/// use jido_testkit::postgres::{Shutdown, TemporaryPostgres};
///
/// let mut postgres = TemporaryPostgres::start().await?;
/// let url = postgres.fresh_database().await?;
/// postgres.stop(Shutdown::Immediate).await?;
/// postgres.start_again().await?;
/// postgres.execute(&url, "select 1").await?;
/// # Ok(()) }
/// ```
pub struct TemporaryPostgres {
    url: Url,
    /// None where the server is not ours.
    server: Option<Server>,
    /// The databases that are to be dropped, where the server is not ours.
    databases: Mutex<Vec<String>>,
}

impl fmt::Debug for TemporaryPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it holds a password.
        f.debug_struct("TemporaryPostgres")
            .field("port", &self.url.port())
            .field("ours", &self.server.is_some())
            .finish_non_exhaustive()
    }
}

impl TemporaryPostgres {
    /// Starts a server as [`TemporaryPostgres::builder`] does without settings.
    ///
    /// # Errors
    ///
    /// As [`TemporaryPostgresBuilder::start`].
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Begins to say what the server is like.
    pub fn builder() -> TemporaryPostgresBuilder {
        TemporaryPostgresBuilder::default()
    }

    pub(super) fn given(url: &str, settings: &[(String, String)]) -> Result<Self, Error> {
        if let Some((name, _)) = settings.first() {
            return Err(not_ours(&format!("started with {name}")));
        }
        Ok(Self {
            url: psql::parse(url)?,
            server: None,
            databases: Mutex::default(),
        })
    }

    pub(super) async fn made(
        settings: Vec<(String, String)>,
        access: Access,
    ) -> Result<Self, Error> {
        // The server listens on loopback, where other users of the machine are too.
        let password = format!("{:032x}", fastrand::u128(..));
        let mut server = Server::new(settings).await?;
        server.init(&password).await?;
        server.admit(&access)?;
        server.start().await?;
        Self::of(server, &password)
    }

    fn of(server: Server, password: &str) -> Result<Self, Error> {
        let address = SocketAddr::from((server.host(), server.port()));
        let url = format!("postgres://postgres:{password}@{address}/postgres");
        Ok(Self {
            url: psql::parse(&url)?,
            server: Some(server),
            databases: Mutex::default(),
        })
    }

    /// A read-only standby that follows this server, as a server of its own.
    ///
    /// # Errors
    ///
    /// [`NotOurs`](ErrorKind::NotOurs) where `DATABASE_URL` names the server; else as
    /// [`TemporaryPostgresBuilder::start`].
    pub async fn standby(&self) -> Result<Self, Error> {
        let primary = self.ours("copied")?;
        let password = self.url.password().unwrap_or_default();
        let mut server = Server::new(primary.tls_settings()).await?;
        server.copy(primary, password).await?;
        server.start().await?;
        Self::of(server, password)
    }

    /// The URL of the server's first database, for a superuser where the server is
    /// ours. It holds a password.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Whether the server is ours to stop, so `DATABASE_URL` names none.
    pub fn is_ours(&self) -> bool {
        self.server.is_some()
    }

    /// What the server wrote, in all its lives, where it is ours.
    pub fn log(&self) -> Option<&Log> {
        self.server.as_ref().map(Server::log)
    }

    /// The id of the server's process, while it runs and is ours.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(Server::process_id)
    }

    /// The URL of a new and empty database, for a test of its own.
    ///
    /// # Errors
    ///
    /// [`Refused`](ErrorKind::Refused) with what the server said;
    /// [`Missing`](ErrorKind::Missing) without `psql`.
    pub async fn fresh_database(&self) -> Result<String, Error> {
        let name = format!("jido_test_{:032x}", fastrand::u128(..));
        self.execute(self.url(), &format!("create database {name}"))
            .await?;
        let mut url = self.url.clone();
        url.set_path(&name);
        if self.server.is_none() {
            self.databases.lock().push(name);
        }
        Ok(url.into())
    }

    /// Runs SQL at the database of a URL by way of `psql`, and gives what it printed:
    /// rows in lines, columns separated by `|`.
    ///
    /// # Errors
    ///
    /// As [`TemporaryPostgres::fresh_database`].
    pub async fn execute(&self, url: &str, sql: &str) -> Result<String, Error> {
        psql::run(&self.psql(), &psql::parse(url)?, sql).await
    }

    fn psql(&self) -> PathBuf {
        match &self.server {
            Some(server) => server.program("psql"),
            None => "psql".into(),
        }
    }

    /// Stops the server and waits for its end.
    ///
    /// # Errors
    ///
    /// [`NotOurs`](ErrorKind::NotOurs) where `DATABASE_URL` names the server;
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) where it does not run;
    /// [`TooSlow`](ErrorKind::TooSlow).
    pub async fn stop(&mut self, how: Shutdown) -> Result<(), Error> {
        self.ours_mut("stopped")?.stop(how).await
    }

    /// Starts a server that was stopped, on the same port with the same data, and
    /// waits until it takes connections.
    ///
    /// # Errors
    ///
    /// As [`TemporaryPostgresBuilder::start`], and
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) where it runs.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.ours_mut("started")?.start().await
    }

    /// Pauses the server and all its connections (SIGSTOP): they stay open and
    /// nothing happens.
    ///
    /// # Errors
    ///
    /// [`NotOurs`](ErrorKind::NotOurs), [`NoSuchNode`](ErrorKind::NoSuchNode), and
    /// [`Machine`](ErrorKind::Machine) where the system has no `/proc`.
    pub fn pause(&self) -> Result<(), Error> {
        self.ours("paused")?.signal_all(Signal::STOP)
    }

    /// Has a paused server go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// As [`TemporaryPostgres::pause`].
    pub fn resume(&self) -> Result<(), Error> {
        self.ours("resumed")?.signal_all(Signal::CONT)
    }

    fn ours(&self, what: &str) -> Result<&Server, Error> {
        self.server.as_ref().ok_or_else(|| not_ours(what))
    }

    fn ours_mut(&mut self, what: &str) -> Result<&mut Server, Error> {
        self.server.as_mut().ok_or_else(|| not_ours(what))
    }
}

impl Drop for TemporaryPostgres {
    fn drop(&mut self) {
        for name in self.databases.get_mut().drain(..) {
            let sql = format!("drop database if exists {name} with (force)");
            // A database that stays is empty of meaning, and there is nobody to tell.
            let _ = psql::run_blocking("psql".as_ref(), &self.url, &sql);
        }
    }
}

pub(super) fn not_ours(what: &str) -> Error {
    Error::new(
        ErrorKind::NotOurs,
        format!(
            "DATABASE_URL names the server, so it can't be {what}: unset it, or ask for an own one"
        ),
    )
}
