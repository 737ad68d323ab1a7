//! Reads, each a statement of its own.

use std::iter::zip;

use bytes::Bytes;
use jido_core::{AgentId, AgentKey, Checkpoint, Entry, Epoch, RequestId, Revision, Seq, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::PostgresStorage;
use super::batch::seq_of;
use super::database::arguments;
use super::lookup::rows_of;
use super::row::{Of, Reader, clamped};
use crate::{
    AgentRecord, CommittedRequest, Cursor, DirectoryPage, DirectoryQuery, Error, ErrorKind, Loaded,
    Reminders, RequestMark, RequestWindow,
};

/// Bytes after which a page of a thread ends, and entries.
const PAGE_BYTES: i64 = 1024 * 1024;
const PAGE_ENTRIES: usize = 4096;
/// Agents after which a page of the directory ends.
const PAGE_AGENTS: usize = 1024;
/// Begins a cursor of this adapter.
const CURSOR: u8 = b'P';

impl PostgresStorage {
    pub(super) async fn find(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let rows = self
            .run(
                include_str!("sql/head.sql"),
                arguments!(id.cluster.as_str(), id.manager.as_str(), id.key.as_str())?,
            )
            .await?;
        let record = |row| reader(row, id).agent(id.clone());
        rows.first().map(record).transpose()
    }

    /// The records of many agents.
    pub(super) async fn find_all(
        &self,
        ids: &[AgentId],
    ) -> Result<Vec<Option<AgentRecord>>, Error> {
        let asked: Vec<&AgentId> = ids.iter().collect();
        let rows = rows_of(&self.appender.database, &asked).await?;
        let record = |(id, row): (&AgentId, Option<PgRow>)| {
            let Some(row) = row else { return Ok(None) };
            let row = reader(&row, id);
            match row.get::<bool>("deleted")? {
                true => Ok(None),
                false => row.agent(id.clone()).map(Some),
            }
        };
        ids.iter().zip(rows).map(record).collect()
    }

    pub(super) async fn load_agent(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let rows = self
            .run(
                include_str!("sql/load.sql"),
                arguments!(id.cluster.as_str(), id.manager.as_str(), id.key.as_str())?,
            )
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let row = reader(row, id);
        let state: Option<Vec<u8>> = row.get("checkpoint")?;
        let covers = Seq(row.number("covers")?);
        let list: Option<Vec<u8>> = row.get("reminders")?;
        Ok(Some(Loaded {
            record: row.agent(id.clone())?,
            checkpoint: state.map(|state| Checkpoint {
                state: Bytes::from(state),
                covers,
            }),
            thread_metadata: row.pairs("thread_metadata")?,
            reminders: Reminders {
                wake_at: row.time("wake_at")?,
                list: list.map(Bytes::from).unwrap_or_default(),
            },
            requests: window(&row)?,
        }))
    }

    pub(super) async fn page_of_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self
            .run(
                include_str!("sql/thread.sql"),
                arguments!(
                    id.cluster.as_str(),
                    id.manager.as_str(),
                    id.key.as_str(),
                    clamped(from.0),
                    clamped(limit.min(PAGE_ENTRIES) as u64),
                    PAGE_BYTES,
                )?,
            )
            .await?;
        let mut entries = Vec::with_capacity(rows.len());
        for (place, row) in (0..).zip(&rows) {
            let seq = from.0.saturating_add(place);
            let len = reader(row, id).number("thread_len")?;
            if seq >= len {
                break;
            }
            let row = Reader::new(row, Of::Entry(id, seq));
            if row.get::<Option<i64>>("seq")? != Some(clamped(seq)) {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("entry {seq} of agent {id} is missing: its thread has {len}"),
                ));
            }
            let payload: Vec<u8> = row.get("payload")?;
            let refs: Option<&str> = row.get("refs")?;
            entries.push(Entry {
                seq: Seq(seq),
                revision: Revision(row.number("revision")?),
                epoch: Epoch(row.number("epoch")?),
                kind: row.get("kind")?,
                at: Timestamp(row.number("at")?),
                payload: Bytes::from(payload),
                refs: refs.map_or_else(
                    || Ok(Vec::new()),
                    |refs| serde_json::from_str(refs).map_err(|_| row.corrupt("refs")),
                )?,
            });
        }
        Ok(entries)
    }

    pub(super) async fn committed(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        let rows = self
            .run(
                include_str!("sql/reply.sql"),
                arguments!(
                    id.cluster.as_str(),
                    id.manager.as_str(),
                    id.key.as_str(),
                    Uuid::from_u128(request.client()),
                    seq_of(request),
                )?,
            )
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let row = Reader::new(row, Of::Request(id, request));
        let reply: Vec<u8> = row.get("reply")?;
        Ok(Some(CommittedRequest {
            issued_at: Timestamp(row.number("issued_at")?),
            revision: Revision(row.number("revision")?),
            reply: Bytes::from(reply),
        }))
    }

    pub(super) async fn page_of_directory(
        &self,
        query: DirectoryQuery,
    ) -> Result<DirectoryPage, Error> {
        let after = query.after.as_ref().map(key_of).transpose()?;
        let after = after.as_ref().map_or("", AgentKey::as_str);
        let limit = query.limit.clamp(1, PAGE_AGENTS);
        let rows = self
            .run(
                include_str!("sql/directory.sql"),
                arguments!(
                    query.cluster.as_str(),
                    query.manager.as_str(),
                    after,
                    // One more tells whether there is a next page.
                    clamped(limit as u64 + 1),
                )?,
            )
            .await?;
        let mut agents = Vec::with_capacity(rows.len().min(limit));
        for row in rows.iter().take(limit) {
            let row = Reader::new(row, Of::Directory(&query.cluster, &query.manager));
            let key = AgentKey::new(row.get::<&str>("key")?).map_err(|_| row.corrupt("key"))?;
            let id = AgentId::new(query.cluster.clone(), query.manager.clone(), key);
            agents.push(row.agent(id)?);
        }
        let last = agents.last().filter(|_| rows.len() > limit);
        let next = last.map(|last| {
            let key = last.id.key.as_str().as_bytes();
            Cursor(Bytes::from([&[CURSOR], key].concat()))
        });
        Ok(DirectoryPage { agents, next })
    }
}

fn reader<'a>(row: &'a PgRow, id: &'a AgentId) -> Reader<'a> {
    Reader::new(row, Of::Agent(id))
}

fn window(row: &Reader<'_>) -> Result<RequestWindow, Error> {
    let clients: Option<Vec<Uuid>> = row.get("clients")?;
    let seqs: Option<Vec<i64>> = row.get("seqs")?;
    let issued: Option<Vec<i64>> = row.get("issued")?;
    let revisions: Option<Vec<i64>> = row.get("revisions")?;
    let ids = zip(clients.unwrap_or_default(), seqs.unwrap_or_default());
    let times = zip(issued.unwrap_or_default(), revisions.unwrap_or_default());
    let mut marks = Vec::new();
    for ((client, seq), (issued_at, revision)) in zip(ids, times) {
        let number = |number: i64| u64::try_from(number).map_err(|_| row.corrupt("issued"));
        marks.push(RequestMark {
            request: RequestId::new(client.as_u128(), seq as u64),
            issued_at: Timestamp(number(issued_at)?),
            revision: Revision(number(revision)?),
        });
    }
    marks.sort_by_key(|mark| (mark.issued_at, mark.request));
    Ok(RequestWindow {
        floor: Timestamp(row.number("floor")?),
        marks,
    })
}

/// The key that a cursor stands for.
fn key_of(cursor: &Cursor) -> Result<AgentKey, Error> {
    let refused = || {
        Error::new(
            ErrorKind::InvalidInput,
            "the cursor is none that a page gave",
        )
    };
    let Some((&CURSOR, key)) = cursor.0.split_first() else {
        return Err(refused());
    };
    let key = std::str::from_utf8(key).map_err(|cause| refused().caused_by(cause))?;
    AgentKey::new(key).map_err(|cause| refused().caused_by(cause))
}
