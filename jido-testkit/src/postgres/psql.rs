//! SQL by way of `psql`, so that no driver is needed here.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use percent_encoding::percent_decode_str;
use url::Url;

use super::programs::INSTALL;
use crate::{Error, ErrorKind};

/// Reads a URL of a database. The error doesn't show it.
pub(super) fn parse(url: &str) -> Result<Url, Error> {
    let refused = |why: String| Error::new(ErrorKind::Machine, format!("DATABASE_URL {why}"));
    let url = Url::parse(url).map_err(|cause| refused(format!("is no URL: {cause}")))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") || !url.has_host() {
        return Err(refused(
            "is no URL like postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
        ));
    }
    Ok(url)
}

/// What libpq finds in its environment instead of on a command line, which every
/// user of the machine may read.
fn environment(url: &Url) -> Vec<(&'static str, OsString)> {
    let decoded = |text: &str| OsString::from(&*percent_decode_str(text).decode_utf8_lossy());
    let mut found = vec![("PGUSER", decoded(url.username()))];
    if let Some(host) = url.host_str() {
        // An IPv6 address stands in brackets.
        found.push(("PGHOST", decoded(host.trim_matches(['[', ']']))));
    }
    if let Some(port) = url.port() {
        found.push(("PGPORT", port.to_string().into()));
    }
    if let Some(password) = url.password() {
        found.push(("PGPASSWORD", decoded(password)));
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() {
        found.push(("PGDATABASE", decoded(database)));
    }
    for (name, value) in url.query_pairs() {
        let variable = match &*name {
            "sslmode" => "PGSSLMODE",
            "sslrootcert" => "PGSSLROOTCERT",
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            "options" => "PGOPTIONS",
            _ => continue,
        };
        found.push((variable, value.into_owned().into()));
    }
    found.retain(|(_, value)| !value.is_empty());
    found
}

/// The command that runs SQL and prints rows in lines, columns separated by `|`.
fn command(psql: &Path, url: &Url, sql: &str) -> Command {
    let mut command = Command::new(psql);
    command
        .args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(sql)
        .envs(environment(url))
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null());
    command
}

fn answer(output: std::io::Result<Output>) -> Result<String, Error> {
    let output = output.map_err(|cause| {
        Error::new(
            ErrorKind::Missing,
            format!("psql can't be run ({cause}): {INSTALL}"),
        )
        .caused_by(cause)
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let message = format!("psql: {}", why.trim_end());
        return Err(Error::new(ErrorKind::Refused, message));
    }
    let rows = String::from_utf8_lossy(&output.stdout);
    Ok(rows.trim_end().to_owned())
}

/// Runs SQL, and gives what it printed.
pub(super) async fn run(psql: &Path, url: &Url, sql: &str) -> Result<String, Error> {
    let mut command = tokio::process::Command::from(command(psql, url, sql));
    answer(command.kill_on_drop(true).output().await)
}

/// Runs SQL, blocking the thread.
pub(super) fn run_blocking(psql: &Path, url: &Url, sql: &str) -> Result<String, Error> {
    answer(command(psql, url, sql).output())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_of_a_database_is_refused_without_showing_it() {
        for bad in ["hunter2", "mysql://u:hunter2@h/d", "postgres:hunter2", ""] {
            let error = parse(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
            assert!(error.to_string().starts_with("DATABASE_URL"), "{error}");
        }
    }

    #[test]
    fn a_url_becomes_what_libpq_reads() {
        let url = parse("postgres://u%40x:p%2F@[::1]:5433/d%20b?sslmode=require&x=y").unwrap();
        let expected = [
            ("PGUSER", "u@x"),
            ("PGHOST", "::1"),
            ("PGPORT", "5433"),
            ("PGPASSWORD", "p/"),
            ("PGDATABASE", "d b"),
            ("PGSSLMODE", "require"),
        ];
        let expected: Vec<_> = expected
            .map(|(name, value)| (name, OsString::from(value)))
            .into();
        assert_eq!(environment(&url), expected);
    }
}
