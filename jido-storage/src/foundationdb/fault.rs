//! What FoundationDB's error codes mean here: the one table of them.
//!
//! Two things are asked of a code: whether the transaction may simply be made
//! again, and, when it came from a commit, whether the commit is known not to
//! have taken effect. Whatever the table doesn't know came from a commit is
//! taken for unknown: that costs a look, while the other guess costs a write.

use crate::{Error, ErrorKind};

/// An error code of FoundationDB's C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) i32);

/// Why an operation didn't get to its commit.
#[derive(Debug)]
pub(super) enum Fault {
    /// The engine refused.
    Engine(Code),
    /// The adapter refused, and nothing is to be made again.
    Refused(Error),
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self::Engine(code)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// What a commit that ended with a code has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtCommit {
    /// Nothing, and it never will.
    NotCommitted,
    /// It may have taken effect, or may yet.
    Unknown,
}

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) name: &'static str,
    /// Whether the same transaction, begun again, can succeed soon.
    pub(super) retry: bool,
    pub(super) at_commit: AtCommit,
    pub(super) kind: ErrorKind,
}

const RETRY: bool = true;
const FINAL: bool = false;

type Row = (i32, &'static str, bool, AtCommit, ErrorKind);

use AtCommit::{NotCommitted, Unknown};
use ErrorKind::{InvalidInput, Overloaded, TooLarge, Unavailable};

const TABLE: &[Row] = &[
    // The engine's own retryable errors of which it promises that nothing was committed.
    (
        1007,
        "transaction_too_old",
        RETRY,
        NotCommitted,
        Unavailable,
    ),
    (1009, "future_version", RETRY, NotCommitted, Unavailable),
    (1020, "not_committed", RETRY, NotCommitted, Overloaded),
    (1037, "process_behind", RETRY, NotCommitted, Unavailable),
    (1038, "database_locked", RETRY, NotCommitted, Unavailable),
    (
        1042,
        "commit_proxy_memory_limit_exceeded",
        RETRY,
        NotCommitted,
        Overloaded,
    ),
    (
        1051,
        "batch_transaction_throttled",
        RETRY,
        NotCommitted,
        Overloaded,
    ),
    (
        1078,
        "grv_proxy_memory_limit_exceeded",
        RETRY,
        NotCommitted,
        Overloaded,
    ),
    (1213, "tag_throttled", RETRY, NotCommitted, Overloaded),
    (1223, "proxy_tag_throttled", RETRY, NotCommitted, Overloaded),
    (
        1235,
        "transaction_throttled_hot_shard",
        RETRY,
        NotCommitted,
        Overloaded,
    ),
    (
        1242,
        "transaction_rejected_range_locked",
        RETRY,
        NotCommitted,
        Unavailable,
    ),
    // Retryable, but the commit may have taken effect. After 1021 it is settled
    // one way or the other; after the rest it may still be on its way.
    (1021, "commit_unknown_result", RETRY, Unknown, Unavailable),
    (1039, "cluster_version_changed", RETRY, Unknown, Unavailable),
    // Not retryable, and a commit may still be on its way.
    (
        1022,
        "commit_unknown_result_fatal",
        FINAL,
        Unknown,
        Unavailable,
    ),
    (1025, "transaction_cancelled", FINAL, Unknown, Unavailable),
    (1031, "transaction_timed_out", FINAL, Unknown, Unavailable),
    (1043, "shutdown_in_progress", FINAL, Unknown, Unavailable),
    (1100, "broken_promise", FINAL, Unknown, Unavailable),
    (1101, "operation_cancelled", FINAL, Unknown, Unavailable),
    (1102, "future_released", FINAL, Unknown, Unavailable),
    // Where the cluster is, and who may speak to it.
    (1511, "file_not_found", FINAL, NotCommitted, InvalidInput),
    (1513, "file_not_readable", FINAL, NotCommitted, InvalidInput),
    (
        1515,
        "no_cluster_file_found",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (
        2104,
        "connection_string_invalid",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (
        2025,
        "network_cannot_be_restarted",
        FINAL,
        NotCommitted,
        Unavailable,
    ),
    (2107, "tls_error", FINAL, Unknown, Unavailable),
    (
        2201,
        "api_version_already_set",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (
        2202,
        "api_version_invalid",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (
        2203,
        "api_version_not_supported",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    // Refused by the client before anything is sent.
    (
        2000,
        "client_invalid_operation",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (
        2002,
        "commit_read_incomplete",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (
        2004,
        "key_outside_legal_range",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (2005, "inverted_range", FINAL, NotCommitted, InvalidInput),
    (
        2006,
        "invalid_option_value",
        FINAL,
        NotCommitted,
        InvalidInput,
    ),
    (2007, "invalid_option", FINAL, NotCommitted, InvalidInput),
    (2101, "transaction_too_large", FINAL, NotCommitted, TooLarge),
    (2102, "key_too_large", FINAL, NotCommitted, TooLarge),
    (2103, "value_too_large", FINAL, NotCommitted, TooLarge),
];

impl Code {
    /// What the code means.
    pub(super) fn meaning(self) -> Meaning {
        let (_, name, retry, at_commit, kind) = TABLE
            .iter()
            .find(|(code, ..)| *code == self.0)
            .copied()
            .unwrap_or((self.0, "unlisted error", FINAL, Unknown, Unavailable));
        Meaning {
            name,
            retry,
            at_commit,
            kind,
        }
    }

    /// The error for callers, when an operation ended with this code and is
    /// known to have written nothing, or only read.
    pub(super) fn error(self, doing: &str) -> Error {
        let Meaning { name, kind, .. } = self.meaning();
        Error::new(
            kind,
            format!("FoundationDB failed at {doing}: {name} ({})", self.0),
        )
    }

    /// The error for callers, when nobody could find out what a commit has done.
    pub(super) fn unresolved(self, doing: &str) -> Error {
        let name = self.meaning().name;
        Error::new(
            Unavailable,
            format!(
                "FoundationDB may or may not have done {doing}: {name} ({}), and it could not be found out",
                self.0
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_has_one_row() {
        let codes: BTreeSet<i32> = TABLE.iter().map(|row| row.0).collect();
        assert_eq!(codes.len(), TABLE.len());
    }

    #[test]
    fn what_may_be_in_flight_is_unknown() {
        for code in [1021, 1022, 1025, 1031, 1039, 1100, 1101, 1102] {
            assert_eq!(Code(code).meaning().at_commit, Unknown, "{code}");
        }
        // Of a code that no table knows nothing can be said.
        for code in [1, 1000, 1026, 1500, 4100, -1] {
            let meaning = Code(code).meaning();
            assert_eq!((meaning.at_commit, meaning.retry), (Unknown, false));
        }
    }

    #[test]
    fn what_the_engine_promises_not_to_have_committed_is_definite_and_retried() {
        // `fdb_error_predicate(RETRYABLE_NOT_COMMITTED)` of the C API.
        for code in [
            1007, 1009, 1020, 1037, 1038, 1042, 1051, 1078, 1213, 1235, 1242,
        ] {
            let meaning = Code(code).meaning();
            assert_eq!(
                (meaning.at_commit, meaning.retry),
                (NotCommitted, true),
                "{code}"
            );
        }
        // `MAYBE_COMMITTED` of the C API.
        for code in [1021, 1039] {
            let meaning = Code(code).meaning();
            assert_eq!(
                (meaning.at_commit, meaning.retry),
                (Unknown, true),
                "{code}"
            );
        }
    }

    #[test]
    fn sizes_and_settings_have_their_kinds() {
        for (code, kind) in [
            (2101, TooLarge),
            (2102, TooLarge),
            (2103, TooLarge),
            (1515, InvalidInput),
            (2203, InvalidInput),
            (1031, Unavailable),
            (1020, Overloaded),
            (99999, Unavailable),
        ] {
            let error = Code(code).error("a commit");
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains(&code.to_string()), "{error}");
        }
        assert_eq!(Code(1031).unresolved("x").kind(), Unavailable);
    }
}
