//! The schema: made, brought up to date, or only checked.

use std::future::Future;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::fault::Fault;
use super::options::{ANSWER, PostgresOptions};
use super::settings::open;
use crate::{Error, ErrorKind};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// The newest version that this build knows.
fn newest() -> i64 {
    MIGRATOR.iter().map(|one| one.version).max().unwrap_or(0)
}

/// The server's word for a statement that ran longer than it may.
const TOOK_TOO_LONG: &str = "57014";

/// Sees to it that the schema is of this build's version, over a connection of its own.
pub(super) async fn prepare(options: &PostgresOptions) -> Result<(), Error> {
    let connect = options.migration_options();
    let opening = open(&connect, &options.schema);
    let connected = tokio::time::timeout(options.acquire_timeout, opening)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let mut connection = connected.map_err(|error| Fault::unsent(&error).error())?;
    let soon = options.answer_timeout();
    within(soon, check_server(&mut connection)).await?;
    if options.migrate {
        migrate(&mut connection, options).await?;
    }
    within(soon, check(&mut connection, &options.schema)).await?;
    // What was asked is answered, however the connection ends.
    let _ = within(soon, async { connection.close().await.map_err(failed) }).await;
    Ok(())
}

/// Gives a server up that says nothing, not even that its own time is up.
async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, asked)
        .await
        .unwrap_or_else(|_elapsed| {
            Err(Error::new(
                ErrorKind::Unavailable,
                format!("Postgres gave no answer about its schema in {limit:?}"),
            ))
        })
}

async fn check_server(connection: &mut PgConnection) -> Result<(), Error> {
    let settings = "select current_setting('server_encoding'), current_setting('fsync') = 'on' \
                    and current_setting('full_page_writes') = 'on'";
    let row = sqlx::query(settings)
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    let encoding: &str = row.try_get(0).map_err(failed)?;
    if encoding != "UTF8" {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the database's encoding is {encoding}: make one with encoding UTF8"),
        ));
    }
    if !row.try_get(1).map_err(failed)? {
        tracing::warn!(
            "the Postgres server has fsync or full_page_writes off: what it acknowledges can be \
             lost with the machine"
        );
    }
    Ok(())
}

/// Several nodes may start at once: one of them migrates, under a lock that all
/// migrations of the database share and that goes with the connection.
async fn migrate(connection: &mut PgConnection, options: &PostgresOptions) -> Result<(), Error> {
    let limit = options.migration_timeout;
    // The server's own limit comes first, if it can be reached.
    let at_last = limit.saturating_add(ANSWER);
    let locked = async {
        match connection.lock().await {
            Err(MigrateError::Execute(error)) if took_too_long(&error) => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "another migration of this database holds its lock for longer than \
                     migration_timeout, {limit:?}: see what it does, and try again"
                ),
            )),
            locked => locked.map_err(refused),
        }
    };
    within(at_last, locked).await?;
    let migrated = async {
        let made = make_schema(connection, &options.schema).await;
        let migrated = match made {
            // What `run` does. Its own future can't be sent to another thread.
            Ok(()) => MIGRATOR.run_direct(None, &mut *connection, false).await,
            Err(error) => Err(error.into()),
        };
        match migrated {
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if took_too_long(&error) =>
            {
                Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "the migration of schema {} takes longer than migration_timeout, \
                         {limit:?}, and was undone: see what holds its tables, or give it more",
                        options.schema
                    ),
                ))
            }
            migrated => migrated.map_err(refused),
        }
    };
    within(at_last, migrated).await?;
    within(ANSWER, async { connection.unlock().await.map_err(refused) }).await
}

async fn make_schema(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    // `create schema if not exists` asks for the right to make one even where it is there.
    let there = sqlx::query("select from pg_namespace where nspname = $1")
        .bind(schema)
        .fetch_all(&mut *connection)
        .await?;
    if there.is_empty() {
        // The name was checked: it has no quotes.
        sqlx::query(AssertSqlSafe(format!("create schema \"{schema}\"")))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Compares the versions that were applied with those of this build.
async fn check(connection: &mut PgConnection, schema: &str) -> Result<(), Error> {
    let table = "select from pg_tables where schemaname = $1 and tablename = '_sqlx_migrations'";
    let there = sqlx::query(table)
        .bind(schema)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    if there.is_empty() {
        return Err(schema_error(format!(
            "schema {schema} is not there: connect once with migrate"
        )));
    }
    let applied = connection
        .list_applied_migrations("_sqlx_migrations")
        .await
        .map_err(refused)?;
    let version = applied.iter().map(|one| one.version).max().unwrap_or(0);
    if version != newest() {
        return Err(schema_error(format!(
            "schema {schema} is of version {version}, this build needs {}: {}",
            newest(),
            if version > newest() {
                "run a newer build"
            } else {
                "connect once with migrate"
            }
        )));
    }
    Ok(())
}

fn took_too_long(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some(TOOK_TOO_LONG))
}

fn failed(error: sqlx::Error) -> Error {
    Fault::sent(&error).error()
}

fn refused(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(error),
        MigrateError::VersionMissing(version) => schema_error(format!(
            "the schema is of version {version}, this build needs {}: run a newer build",
            newest()
        )),
        other => schema_error(format!("the schema is of another build: {other}")),
    }
}

fn schema_error(message: String) -> Error {
    Error::new(ErrorKind::Schema, message)
}
