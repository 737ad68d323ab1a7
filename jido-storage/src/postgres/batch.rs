//! A batch of commits as the arrays of one statement.

use sqlx::postgres::PgArguments;
use sqlx::types::Uuid;

use super::database::arguments;
use super::fault::Fault;
use super::json;
use super::row::{clamped, compared, time};
use crate::Commit;
use jido_core::RequestId;

/// The columns of the commits themselves, one element each.
#[derive(Default)]
struct Heads<'a> {
    cluster: Vec<&'a str>,
    manager: Vec<&'a str>,
    key: Vec<&'a str>,
    epoch: Vec<i64>,
    expected: Vec<i64>,
    advance: Vec<i64>,
    entries: Vec<i64>,
    erase_checkpoint: Vec<bool>,
    erase_thread: Vec<bool>,
    checkpoint: Vec<Option<&'a [u8]>>,
    covers: Vec<i64>,
    metadata: Vec<Option<String>>,
    floor: Vec<Option<i64>>,
    release: Vec<bool>,
    at: Vec<i64>,
    remind: Vec<bool>,
    wake_at: Vec<Option<i64>>,
    reminders: Vec<Option<&'a [u8]>>,
}

/// Their entries. `ord` says whose, counted from 1.
#[derive(Default)]
struct Entries<'a> {
    ord: Vec<i64>,
    place: Vec<i64>,
    kind: Vec<&'a str>,
    at: Vec<i64>,
    payload: Vec<&'a [u8]>,
    json: Vec<Option<String>>,
    refs: Vec<Option<String>>,
}

/// The requests that they keep or forget.
#[derive(Default)]
struct Requests<'a> {
    ord: Vec<i64>,
    client: Vec<Uuid>,
    seq: Vec<i64>,
    issued_at: Vec<i64>,
    reply: Vec<&'a [u8]>,
}

impl Requests<'_> {
    fn push_id(&mut self, ord: i64, request: RequestId) {
        self.ord.push(ord);
        self.client.push(Uuid::from_u128(request.client()));
        self.seq.push(seq_of(request));
    }
}

/// A request's number by its bits: it names one of 2^64 and is never counted on.
pub(super) fn seq_of(request: RequestId) -> i64 {
    request.seq() as i64
}

/// The values of `append.sql` for commits of different agents, in the order in which
/// their rows are to be locked.
pub(super) fn arguments_of(commits: &[&Commit], with_json: bool) -> Result<PgArguments, Fault> {
    let (mut heads, mut entries) = (Heads::default(), Entries::default());
    let (mut kept, mut forgotten) = (Requests::default(), Requests::default());
    for (ord, commit) in (1..).zip(commits) {
        heads.cluster.push(commit.id.cluster.as_str());
        heads.manager.push(commit.id.manager.as_str());
        heads.key.push(commit.id.key.as_str());
        heads.epoch.push(compared(commit.epoch.0));
        heads.expected.push(compared(commit.expected.0));
        heads.advance.push(i64::from(commit.advances_revision()));
        heads.entries.push(clamped(commit.entries.len() as u64));
        heads.erase_checkpoint.push(commit.erase.checkpoint);
        heads.erase_thread.push(commit.erase.thread);
        let checkpoint = commit.checkpoint.as_ref();
        heads.checkpoint.push(checkpoint.map(|one| &*one.state));
        heads
            .covers
            .push(checkpoint.map_or(0, |one| clamped(one.covers.0)));
        heads
            .metadata
            .push(json::of_pairs(&commit.thread_metadata)?);
        heads.floor.push(commit.forget_before.map(time));
        heads.release.push(commit.release);
        heads.at.push(time(commit.at));
        let reminders = commit.reminders.as_ref();
        heads.remind.push(reminders.is_some());
        heads
            .wake_at
            .push(reminders.and_then(|one| one.wake_at).map(time));
        let list = reminders.map(|one| &*one.list);
        heads.reminders.push(list.filter(|list| !list.is_empty()));
        for (place, entry) in (0..).zip(&commit.entries) {
            entries.ord.push(ord);
            entries.place.push(place);
            entries.kind.push(&entry.kind);
            entries.at.push(time(entry.at));
            entries.payload.push(&entry.payload);
            let json = with_json.then(|| json::of_payload(&entry.payload));
            entries.json.push(json.flatten());
            entries.refs.push(json::of_refs(&entry.refs)?);
        }
        for record in &commit.requests {
            kept.push_id(ord, record.request);
            kept.issued_at.push(time(record.issued_at));
            kept.reply.push(&record.reply);
        }
        for request in &commit.forget {
            forgotten.push_id(ord, *request);
        }
    }
    arguments!(
        heads.cluster,
        heads.manager,
        heads.key,
        heads.epoch,
        heads.expected,
        heads.advance,
        heads.entries,
        heads.erase_checkpoint,
        heads.erase_thread,
        heads.checkpoint,
        heads.covers,
        heads.metadata,
        heads.floor,
        heads.release,
        heads.at,
        heads.remind,
        heads.wake_at,
        heads.reminders,
        entries.ord,
        entries.place,
        entries.kind,
        entries.at,
        entries.payload,
        entries.json,
        entries.refs,
        kept.ord,
        kept.client,
        kept.seq,
        kept.issued_at,
        kept.reply,
        forgotten.ord,
        forgotten.client,
        forgotten.seq,
    )
}
