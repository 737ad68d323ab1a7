//! The schema: made, brought up to date, or only checked.

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::fault::Fault;
use super::options::PostgresOptions;
use crate::{Error, ErrorKind};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// The newest version that this build knows.
fn newest() -> i64 {
    MIGRATOR.iter().map(|one| one.version).max().unwrap_or(0)
}

/// Sees to it that the schema is of this build's version, over a connection of its own.
pub(super) async fn prepare(options: &PostgresOptions) -> Result<(), Error> {
    let connect = options.migration_options();
    let connected = tokio::time::timeout(options.acquire_timeout, connect.connect())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let mut connection = connected.map_err(|error| Fault::unsent(&error).error())?;
    check_server(&mut connection).await?;
    if options.migrate {
        migrate(&mut connection, &options.schema).await?;
    }
    check(&mut connection, &options.schema).await?;
    // What was asked is answered, however the connection ends.
    let _ = connection.close().await;
    Ok(())
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
async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), Error> {
    connection.lock().await.map_err(refused)?;
    // `create schema if not exists` asks for the right to make one even where it is there.
    let there = sqlx::query("select from pg_namespace where nspname = $1")
        .bind(schema)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    if there.is_empty() {
        // The name was checked: it has no quotes.
        sqlx::query(AssertSqlSafe(format!("create schema \"{schema}\"")))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    // What `run` does. Its own future can't be sent to another thread.
    let all = None;
    let migrated = MIGRATOR.run_direct(all, &mut *connection, false).await;
    migrated.map_err(refused)?;
    connection.unlock().await.map_err(refused)
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
