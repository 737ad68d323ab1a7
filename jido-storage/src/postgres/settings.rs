//! How a connection is opened: with the settings that statements rely on, and not without.
//!
//! They are sent with its first message, which costs nothing, and which a pooler in between
//! may leave out without a word. Then the server's own would hold, under which an acknowledged
//! commit may be lost. So a new connection is asked once.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions, Executor, Row};

/// Asks for what decides whether a commit is kept and what a statement sees. Without values,
/// so it is one round trip.
const ASK: &str = "select current_setting('synchronous_commit'), \
                   current_setting('transaction_isolation'), \
                   coalesce(current_schema()::text, ''), current_setting('search_path')";

/// Those of `synchronous_commit` that wait for the server's own disk at the least.
const DURABLE: [&str; 4] = ["on", "remote_apply", "remote_write", "local"];

const ISOLATION: &str = "read committed";

/// Opens a connection to the records in a schema.
///
/// # Errors
///
/// Those of the driver; and [`sqlx::Error::Configuration`] where a setting is not as it
/// has to be, which stays so until somebody mends it.
pub(super) async fn open(
    options: &PgConnectOptions,
    schema: &str,
) -> Result<PgConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    let row = connection.fetch_one(ASK).await?;
    Settings::read(&row)?
        .check(schema)
        .map_err(|message| sqlx::Error::Configuration(message.into()))?;
    Ok(connection)
}

/// What holds on a connection.
#[derive(Debug, Clone, Copy)]
struct Settings<'r> {
    synchronous_commit: &'r str,
    isolation: &'r str,
    /// The first schema of the path that is there and may be used.
    current_schema: &'r str,
    search_path: &'r str,
}

impl<'r> Settings<'r> {
    fn read(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            synchronous_commit: row.try_get(0)?,
            isolation: row.try_get(1)?,
            current_schema: row.try_get(2)?,
            search_path: row.try_get(3)?,
        })
    }

    /// The message names the first setting that is not as it has to be.
    fn check(&self, schema: &str) -> Result<(), String> {
        let (setting, is, must) = if !DURABLE.contains(&self.synchronous_commit) {
            ("synchronous_commit", self.synchronous_commit, "on")
        } else if self.isolation != ISOLATION {
            ("transaction_isolation", self.isolation, ISOLATION)
        } else if self.current_schema != schema && !is_first(schema, self.search_path) {
            ("search_path", self.search_path, schema)
        } else {
            return Ok(());
        };
        Err(format!(
            "{setting} is {is:?} and has to be {must:?}: what the connection was opened with (the \
             startup parameter `options`) was left out, as poolers do that are told to ignore it; \
             see docs/postgres.md"
        ))
    }
}

/// Whether a path begins with a schema, which may not be there yet.
fn is_first(schema: &str, path: &str) -> bool {
    let first = path.split(',').next().unwrap_or_default().trim();
    match first.strip_prefix('"') {
        // A schema's name has no quotes and no commas.
        Some(quoted) => quoted.strip_suffix('"') == Some(schema),
        None => first.to_ascii_lowercase() == schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Settings<'_> = Settings {
        synchronous_commit: "on",
        isolation: "read committed",
        current_schema: "jido",
        search_path: "\"jido\",pg_temp",
    };

    #[test]
    fn what_waits_for_the_disk_is_taken_and_the_rest_is_named() {
        for synchronous_commit in ["on", "local", "remote_write", "remote_apply"] {
            let good = Settings {
                synchronous_commit,
                ..GOOD
            };
            assert_eq!(good.check("jido"), Ok(()));
        }
        let off = Settings {
            synchronous_commit: "off",
            ..GOOD
        };
        let above = Settings {
            isolation: "serializable",
            ..GOOD
        };
        let elsewhere = Settings {
            current_schema: "public",
            search_path: "\"$user\", public",
            ..GOOD
        };
        for (settings, named) in [
            (off, "synchronous_commit is \"off\" and has to be \"on\""),
            (above, "transaction_isolation is \"serializable\""),
            (elsewhere, "search_path is"),
        ] {
            let message = settings.check("jido").unwrap_err();
            assert!(message.starts_with(named), "{message}");
            assert!(message.contains("startup parameter"), "{message}");
        }
    }

    #[test]
    fn a_schema_that_is_not_there_yet_is_looked_for_in_the_path() {
        for (schema, path) in [
            ("jido", "\"jido\",pg_temp"),
            ("jido", "jido, pg_temp"),
            ("jido", "JIDO"),
            ("Jido", " \"Jido\" , public"),
        ] {
            assert!(is_first(schema, path), "{schema} in {path}");
        }
        for (schema, path) in [
            ("jido", ""),
            ("jido", "public, jido"),
            ("jido", "\"JIDO\""),
            ("Jido", "Jido"),
            ("jido", "jido2"),
            ("user", "\"$user\", public"),
        ] {
            assert!(!is_first(schema, path), "{schema} in {path}");
        }
    }
}
