//! A batch of commits as the one value of a statement: types of the schema, field by field.

use sqlx::Encode;
use sqlx::postgres::{PgArguments, PgHasArrayType, PgTypeInfo};
use sqlx::types::Uuid;

use super::database::arguments;
use super::fault::Fault;
use super::json;
use super::row::{clamped, compared, time};
use crate::Commit;
use jido_core::{NewEntry, RequestId};

/// A commit, with what it brings.
#[derive(Encode)]
struct Row<'a> {
    cluster: &'a str,
    manager: &'a str,
    key: &'a str,
    epoch: i64,
    expected: i64,
    advance: i64,
    erase_checkpoint: bool,
    erase_thread: bool,
    checkpoint: Option<&'a [u8]>,
    covers: i64,
    thread_metadata: Option<String>,
    floor: Option<i64>,
    release: bool,
    at: i64,
    remind: bool,
    wake_at: Option<i64>,
    reminders: Option<&'a [u8]>,
    entries: Vec<Entry<'a>>,
    requests: Vec<Request<'a>>,
    forget: Vec<Forgotten>,
}

/// An entry for its thread.
#[derive(Encode)]
struct Entry<'a> {
    kind: &'a str,
    at: i64,
    payload: &'a [u8],
    payload_json: Option<String>,
    refs: Option<String>,
}

/// A request that it answers.
#[derive(Encode)]
struct Request<'a> {
    client: Uuid,
    seq: i64,
    issued_at: i64,
    reply: &'a [u8],
}

/// A request whose record it drops.
#[derive(Encode)]
struct Forgotten {
    client: Uuid,
    seq: i64,
}

/// Says which of the schema's types a struct is written as: the fields are those of the type,
/// in its order.
macro_rules! written_as {
    ($($row:ty: $name:literal),* $(,)?) => {$(
        impl sqlx::Type<sqlx::Postgres> for $row {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($name)
            }
        }

        impl PgHasArrayType for $row {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($name)
            }
        }
    )*};
}

written_as! {
    Row<'_>: "new_commit",
    Entry<'_>: "new_entry",
    Request<'_>: "new_request",
    Forgotten: "forgotten_request",
}

/// A request's number by its bits: it names one of 2^64 and is never counted on.
pub(super) fn seq_of(request: RequestId) -> i64 {
    request.seq() as i64
}

/// The value of an append, of commits of different agents, in the order in which their
/// rows are to be locked.
pub(super) fn arguments_of<'a>(
    commits: impl Iterator<Item = &'a Commit>,
    with_json: bool,
) -> Result<PgArguments, Fault> {
    let rows = commits
        .map(|commit| row_of(commit, with_json))
        .collect::<Result<Vec<_>, _>>()?;
    arguments!(rows)
}

fn row_of(commit: &Commit, with_json: bool) -> Result<Row<'_>, Fault> {
    let (checkpoint, reminders) = (commit.checkpoint.as_ref(), commit.reminders.as_ref());
    let list = reminders.map(|one| &*one.list);
    let entries = commit
        .entries
        .iter()
        .map(|entry| entry_of(entry, with_json));
    Ok(Row {
        cluster: commit.id.cluster.as_str(),
        manager: commit.id.manager.as_str(),
        key: commit.id.key.as_str(),
        epoch: compared(commit.epoch.0),
        expected: compared(commit.expected.0),
        advance: i64::from(commit.advances_revision()),
        erase_checkpoint: commit.erase.checkpoint,
        erase_thread: commit.erase.thread,
        checkpoint: checkpoint.map(|one| &*one.state),
        covers: checkpoint.map_or(0, |one| clamped(one.covers.0)),
        thread_metadata: json::of_pairs(&commit.thread_metadata)?,
        floor: commit.forget_before.map(time),
        release: commit.release,
        at: time(commit.at),
        remind: reminders.is_some(),
        wake_at: reminders.and_then(|one| one.wake_at).map(time),
        reminders: list.filter(|list| !list.is_empty()),
        entries: entries.collect::<Result<_, _>>()?,
        requests: commit
            .requests
            .iter()
            .map(|record| Request {
                client: client_of(record.request),
                seq: seq_of(record.request),
                issued_at: time(record.issued_at),
                reply: &record.reply,
            })
            .collect(),
        forget: commit
            .forget
            .iter()
            .map(|request| Forgotten {
                client: client_of(*request),
                seq: seq_of(*request),
            })
            .collect(),
    })
}

fn entry_of(entry: &NewEntry, with_json: bool) -> Result<Entry<'_>, Fault> {
    let payload_json = with_json.then(|| json::of_payload(&entry.payload));
    Ok(Entry {
        kind: &entry.kind,
        at: time(entry.at),
        payload: &entry.payload,
        payload_json: payload_json.flatten(),
        refs: json::of_refs(&entry.refs)?,
    })
}

fn client_of(request: RequestId) -> Uuid {
    Uuid::from_u128(request.client())
}
