//! How a statement can fail, and how that reads outside.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::{Error, ErrorKind};

/// What is done about a statement that certainly had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Another transaction was in the way: once more, at once.
    Again,
    /// It lies with what the statement was about: the commits of a batch each alone.
    Apart,
    /// It lies with the server or the connection: nothing here.
    None,
}

/// Why a statement has no result.
///
/// Neither a connection string nor what was bound to a statement is in it: of the
/// server's errors only code and message are taken, not the detail, which shows rows.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    kind: ErrorKind,
    message: String,
    /// None where the statement may have taken effect.
    remedy: Option<Remedy>,
}

impl Fault {
    /// One that certainly had no effect.
    pub(super) fn definite(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: Some(Remedy::None),
        }
    }

    /// One whose statement may have taken effect.
    pub(super) fn lost(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            message: message.into(),
            remedy: None,
        }
    }

    /// No connection, so nothing was sent.
    pub(super) fn unsent(error: &sqlx::Error) -> Self {
        let (kind, message) = match error {
            sqlx::Error::Database(error) => {
                let (kind, message) = refused(error.code().as_deref(), error.message());
                (kind, format!("no connection to Postgres: {message}"))
            }
            sqlx::Error::PoolTimedOut => (
                ErrorKind::Unavailable,
                "no connection to Postgres came free or could be opened in time".to_owned(),
            ),
            other => (
                if is_about_trust(other) {
                    ErrorKind::InvalidInput
                } else {
                    ErrorKind::Unavailable
                },
                format!("no connection to Postgres: {}", text(other)),
            ),
        };
        Self::definite(kind, message)
    }

    /// A statement that was sent ended with an error.
    pub(super) fn sent(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code();
                let (kind, message) = refused(code.as_deref(), error.message());
                // An error undoes its statement. One that ends the connection may come
                // when the statement is over and done with.
                let ends = error
                    .try_downcast_ref::<PgDatabaseError>()
                    .is_none_or(|error| !matches!(error.severity(), PgSeverity::Error));
                let code = code.as_deref().unwrap_or_default();
                if ends || leaves_open(code) {
                    return Self::lost(message);
                }
                Self {
                    kind,
                    message,
                    remedy: Some(remedy(code)),
                }
            }
            sqlx::Error::Encode(_) => Self::definite(
                ErrorKind::InvalidInput,
                "a statement's values can't be written down",
            ),
            other => Self::lost(format!("the connection to Postgres broke: {}", text(other))),
        }
    }

    /// Whether the statement may have taken effect.
    pub(super) fn is_lost(&self) -> bool {
        self.remedy.is_none()
    }

    /// What to do about it, where it certainly had no effect.
    pub(super) fn remedy(&self) -> Option<Remedy> {
        self.remedy
    }

    /// The same as an error of the crate.
    pub(super) fn error(&self) -> Error {
        Error::new(self.kind, &*self.message)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(fault.kind, fault.message)
    }
}

/// What rustls says of a certificate that it doesn't take.
const REFUSED_CERTIFICATE: &str = "invalid peer certificate";

/// Whether no connection came about because the server is not one that `sslmode` allows,
/// which stays so until somebody mends it.
fn is_about_trust(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => true,
        sqlx::Error::Io(error) => error.to_string().starts_with(REFUSED_CERTIFICATE),
        _ => false,
    }
}

/// What the driver says, without values that it may show.
fn text(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) if error.to_string().starts_with(REFUSED_CERTIFICATE) => {
            format!("TLS: {error}: see sslmode and sslrootcert")
        }
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS: {error}"),
        sqlx::Error::Protocol(text) => text.clone(),
        sqlx::Error::PoolClosed => "the storage was closed".to_owned(),
        sqlx::Error::ColumnDecode { index, .. } => format!("column {index} can't be read"),
        sqlx::Error::Configuration(error) => error.to_string(),
        _ => "an error of the driver".to_owned(),
    }
}

/// What the server's error is, by the classes of appendix A of its manual.
fn refused(code: Option<&str>, message: &str) -> (ErrorKind, String) {
    let code = code.unwrap_or("without a code");
    let (kind, hint) = match code {
        "53100" => (ErrorKind::Full, ": make room on the server's disk"),
        "54000" | "53400" => (ErrorKind::TooLarge, ""),
        "25006" => (
            ErrorKind::Unavailable,
            ": it is a standby, or default_transaction_read_only is set; connect to the primary",
        ),
        "53300" => (
            ErrorKind::Unavailable,
            ": all nodes' max_connections together are more than the server's",
        ),
        "55P03" => (
            ErrorKind::Unavailable,
            ": another transaction holds the row for longer than lock_timeout",
        ),
        "57014" => (
            ErrorKind::Unavailable,
            ": it ran for longer than statement_timeout, or somebody cancelled it",
        ),
        "23505" | "23514" => (ErrorKind::Corrupt, ": the records contradict each other"),
        "42501" => (
            ErrorKind::InvalidInput,
            ": the role lacks rights, see docs/postgres.md",
        ),
        "3F000" | "42P01" | "42703" | "42804" => (
            ErrorKind::Schema,
            ": the schema is not of this version; connect with migrate",
        ),
        code if code.starts_with("28") || code == "3D000" => (ErrorKind::InvalidInput, ""),
        code if code.starts_with("22") => (ErrorKind::InvalidInput, ""),
        code if code.starts_with("XX") => (ErrorKind::Corrupt, ""),
        _ => (ErrorKind::Unavailable, ""),
    };
    (kind, format!("Postgres says {code}, {message}{hint}"))
}

/// Whether an error says that the statement's end is not known, as a pooler or proxy in between
/// does whose own connection broke: 40003 in so many words, class 08 of a connection that
/// the statement had gone out on.
fn leaves_open(code: &str) -> bool {
    code == "40003" || code.starts_with("08")
}

/// What to do about an error that undid its statement.
fn remedy(code: &str) -> Remedy {
    match code {
        "40001" | "40P01" => Remedy::Again,
        "55P03" | "57014" => Remedy::Apart,
        code => match code.get(..2) {
            // Data, constraints, limits, and what a trigger of the user's refuses.
            Some("22" | "23" | "40" | "54" | "P0") => Remedy::Apart,
            _ => Remedy::None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_a_statements_end_open_is_told_from_what_undoes_it() {
        for code in ["40003", "08000", "08003", "08006", "08007", "08P01"] {
            assert!(leaves_open(code), "{code}");
        }
        for code in [
            "", "0", "40001", "40P01", "40000", "57014", "XX000", "0A000",
        ] {
            assert!(!leaves_open(code), "{code}");
        }
        assert_eq!(remedy("40001"), Remedy::Again);
        assert_eq!(remedy("40002"), Remedy::Apart);
        assert_eq!(remedy("57014"), Remedy::Apart);
        assert_eq!(remedy("0A000"), Remedy::None);
    }
}
