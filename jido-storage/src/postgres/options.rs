//! How a database is connected to.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::{Error, ErrorKind};

/// The longest name of a schema, in bytes: Postgres cuts off what is longer.
const MAX_SCHEMA_LEN: usize = 63;

/// How much longer than at the server a statement's end is waited for here.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// What a URL may say after its `?`. Others are refused: the driver would log them
/// with their values, a misspelt password among them.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// How a [`PostgresStorage`](super::PostgresStorage) connects, and what it does there.
///
/// ```
/// use jido_storage::PostgresOptions;
///
/// let options = PostgresOptions::new("postgres://jido_runtime@db.internal/app?sslmode=verify-full")?
///     .schema("agents")?
///     .migrate(false)
///     .max_connections(20);
/// # Ok::<(), jido_storage::Error>(())
/// ```
#[derive(Clone)]
pub struct PostgresOptions {
    connect: PgConnectOptions,
    pub(super) schema: String,
    pub(super) migrate: bool,
    pub(super) json_entries: bool,
    pub(super) max_connections: u32,
    pub(super) acquire_timeout: Duration,
    lock_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) migration_timeout: Duration,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the URL: it holds a password, or leads to one.
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("migrate", &self.migrate)
            .field("json_entries", &self.json_entries)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("migration_timeout", &self.migration_timeout)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// Takes a URL: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=VALUE&..`.
    ///
    /// Parameters are those of `libpq`: `sslmode` (`disable` and `allow`, both without
    /// TLS, `prefer`, which is the default, `require`, `verify-full`), `sslrootcert`,
    /// `sslcert`, `sslkey`, `host` (also the folder of a Unix socket), `hostaddr`, `port`, `user`,
    /// `password`, `dbname`, `application_name` and `options`. Only `verify-full` makes
    /// sure who answers; without `sslrootcert` the machine's own certificates count.
    /// What the URL leaves out comes from `PGHOST` and its like, and a password from
    /// `PGPASSWORD` or the file `~/.pgpass`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput), which never shows the URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let parsed = Url::parse(url).map_err(|cause| invalid(format!("is no URL: {cause}")))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(invalid("does not begin with postgres://".to_owned()));
        }
        for (name, _value) in parsed.query_pairs() {
            if !PARAMETERS.contains(&&*name) {
                return Err(invalid(format!(
                    "has the unknown parameter {name:?}: known are {}",
                    PARAMETERS.join(", ")
                )));
            }
        }
        // The driver's error is left out: it may show a part of the URL.
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| invalid("can't be read: a parameter's value is out of place".into()))?;
        // The driver would panic, wherever two libraries of cryptography are linked. From
        // the environment it may be, too.
        if matches!(connect.get_ssl_mode(), PgSslMode::VerifyCa) {
            return Err(invalid(
                "or PGSSLMODE says sslmode verify-ca, which is not there: take verify-full".into(),
            ));
        }
        Ok(Self {
            connect,
            schema: "jido".to_owned(),
            migrate: true,
            json_entries: false,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            migration_timeout: Duration::from_secs(5 * 60),
        })
    }

    /// The schema that holds the records, by default `jido`: 1 to 63 ASCII letters,
    /// digits, `_` and `-`, of which the first is a letter or `_`, and not beginning
    /// with `pg_`. It is taken as it is written, capitals too.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for another name.
    pub fn schema(mut self, name: &str) -> Result<Self, Error> {
        let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
        let goes_on = |c: char| begins(c) || c.is_ascii_digit() || c == '-';
        if name.len() > MAX_SCHEMA_LEN
            || !name.starts_with(begins)
            || !name.chars().all(goes_on)
            || name.to_ascii_lowercase().starts_with("pg_")
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "schema {name:?} is refused: it has 1 to {MAX_SCHEMA_LEN} ASCII letters, digits, \
                     '_' and '-', begins with a letter or '_', and not with pg_"
                ),
            ));
        }
        self.schema = name.to_owned();
        Ok(self)
    }

    /// Whether connecting makes the schema and brings it up to date, by default true.
    /// Without, it is only checked, and the user needs no rights but to read and write
    /// the records: `docs/postgres.md` tells how to set up two roles.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Whether entries' payloads are also stored as JSON, in the column
    /// `payload_json`, for people to query; by default false. MessagePack stays what
    /// is read back. Payloads that JSON or Postgres can't hold (with binary data, keys
    /// that are no text, or a NUL) have none; a number that is none becomes `null`.
    #[must_use]
    pub fn json_entries(mut self, json: bool) -> Self {
        self.json_entries = json;
        self
    }

    /// How many connections there are at the most, by default 10, at least 1; and two more, on
    /// which leases are renewed, whatever the others wait for.
    ///
    /// Commits that come while others are under way share a statement, so few
    /// connections serve many agents. All nodes' connections together have to stay
    /// below the server's `max_connections`, 100 unless it was raised.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a call waits for a connection, by default 5 s. A server that is being
    /// restarted is often back by then; beyond that callers had better be told.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long a statement waits for an agent's row, by default 5 s. Rows are held
    /// for one statement, so whoever waits longer waits for something that hangs.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long a statement runs at the server, by default 10 s, after which it is
    /// undone; longer than [`lock_timeout`](Self::lock_timeout), so that one row that
    /// is held doesn't end a batch. Five seconds later the connection is given up.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long connecting waits for another node's migration, and how long its own may
    /// take, by default 5 minutes each: enough for an index over many entries. What it did
    /// of a version that it could not end is undone, and the schema stays of the one before.
    #[must_use]
    pub fn migration_timeout(mut self, timeout: Duration) -> Self {
        self.migration_timeout = timeout;
        self
    }

    /// How long a statement's answer is waited for: the server's own limit comes first,
    /// if it can be reached.
    pub(super) fn answer_timeout(&self) -> Duration {
        self.statement_timeout.saturating_add(ANSWER)
    }

    /// What connections for statements are opened with.
    pub(super) fn connect_options(&self) -> PgConnectOptions {
        self.base().options([
            ("lock_timeout", milliseconds(self.lock_timeout)),
            ("statement_timeout", milliseconds(self.statement_timeout)),
        ])
    }

    /// What the connection that migrates is opened with: it may wait for others that
    /// do, and for an index to be built.
    pub(super) fn migration_options(&self) -> PgConnectOptions {
        let timeout = milliseconds(self.migration_timeout);
        self.base()
            .options([("lock_timeout", "0"), ("statement_timeout", &*timeout)])
    }

    fn base(&self) -> PgConnectOptions {
        let connect = match self.connect.get_application_name() {
            Some(_) => self.connect.clone(),
            None => self.connect.clone().application_name("jido"),
        };
        // Neither statements nor what is bound to them is for a log.
        connect.disable_statement_logging().options([
            // Temporary tables last, so that none stands for one of ours.
            (
                "search_path",
                format!("\"{}\",pg_temp", self.schema).as_str(),
            ),
            // Acknowledged means durable, whatever the server's default.
            ("synchronous_commit", "on"),
            // Statements rely on seeing a row as it is once they have its lock.
            ("default_transaction_isolation", "read committed"),
            // No statement here leaves a transaction open; what does is at fault.
            ("idle_in_transaction_session_timeout", "10s"),
            // A client that is gone without a word holds no lock for hours.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            // Each statement has one good plan, by indexes; made once, while tables
            // may still be empty, it has to be that one when they have grown.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
        ])
    }
}

/// A time-out as the server reads it, which takes none for no limit.
fn milliseconds(timeout: Duration) -> String {
    let most = u128::from(i32::MAX.unsigned_abs());
    format!("{}ms", timeout.as_millis().clamp(1, most))
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the database's URL {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_urls_are_refused_and_not_shown() {
        for bad in [
            "hunter2",
            "",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u@h/d?pasword=hunter2",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
            "postgres://u@h/d?port=hunter2",
            "postgres://u:hunter2@h/d?sslmode=verify-ca",
        ] {
            let error = PostgresOptions::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("the database's URL"), "{shown}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_url() {
        let options = PostgresOptions::new("postgres://hunter1:hunter2@hunter3/hunter4").unwrap();
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn schemas_are_checked() {
        let options = PostgresOptions::new("postgres://h/d").unwrap();
        let longest = "x".repeat(MAX_SCHEMA_LEN);
        for good in ["a", "_", "Mixed-Case_9", "select", &longest] {
            assert!(options.clone().schema(good).is_ok(), "{good}");
        }
        let longer = "x".repeat(MAX_SCHEMA_LEN + 1);
        for bad in [
            "", "1a", "-a", "pg_x", "PG_x", "a b", "a\"b", "a;b", "a\\b", "ä", "a\0", &longer,
        ] {
            let error = options.clone().schema(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }
}
