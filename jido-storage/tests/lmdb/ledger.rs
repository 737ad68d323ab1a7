//! What children were told is durable, and the check that it is there, whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use jido_core::{
    AgentId, Checkpoint, Epoch, Incarnation, NewEntry, RequestId, Revision, Seq, Timestamp,
};
use jido_storage::{AppendOutcome, Commit, MemoryStorage, RequestRecord, Storage};

use super::child::{id, register, take};

/// Entries of each commit of [`whole`].
const ENTRIES: u64 = 3;

/// Bytes that tell where they belong, so that a torn or foreign record shows.
fn content(key: &str, epoch: Epoch, revision: u64, part: u64) -> Bytes {
    let word = format!("{key}|{epoch}|{revision}|{part};");
    let len = 20 + (revision * 7919 + part * 104_729) % 9_000;
    Bytes::from(word.repeat(len as usize / word.len() + 1))
}

fn request(revision: u64) -> RequestId {
    RequestId::new(1, revision)
}

/// A commit of entries, a checkpoint and a reply, all told from its place.
pub(crate) fn whole(id: &AgentId, epoch: Epoch, revision: u64) -> Commit {
    let key = id.key.as_str();
    let at = Timestamp(revision);
    let mut commit = Commit::new(id.clone(), epoch, Revision(revision - 1), at);
    for part in 0..ENTRIES {
        let payload = content(key, epoch, revision, part);
        commit
            .entries
            .push(NewEntry::new("noted", at, payload).unwrap());
    }
    commit.checkpoint = Some(Checkpoint {
        state: content(key, epoch, revision, 100),
        covers: Seq(revision * ENTRIES),
    });
    commit.requests.push(RequestRecord {
        request: request(revision),
        issued_at: at,
        reply: content(key, epoch, revision, 200),
    });
    commit
}

/// The acknowledgements of a folder, kept apart from it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    acknowledged: BTreeMap<String, BTreeMap<u64, Epoch>>,
}

impl Ledger {
    /// Notes an acknowledgement: the agent's key, the epoch, the revision.
    pub(crate) fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [key, epoch, revision] = words[..] else {
            panic!("a child told {line:?}")
        };
        let revisions = self.acknowledged.entry(key.to_owned()).or_default();
        let epoch = Epoch(epoch.parse().unwrap());
        let twice = revisions.insert(revision.parse().unwrap(), epoch);
        assert!(twice.is_none(), "acknowledged twice: {line}");
    }

    pub(crate) fn len(&self) -> usize {
        self.acknowledged.values().map(BTreeMap::len).sum()
    }

    /// Checks agents that only [`whole`] commits have written, one after the other:
    /// every acknowledged commit is there, whole, without a gap; and of the others
    /// at most the last of each activation, which may have become durable before
    /// its child could tell.
    pub(crate) async fn check(&self, storage: &dyn Storage) -> Result<(), String> {
        for (key, acknowledged) in &self.acknowledged {
            let stored = commits(storage, &id(key)).await?;
            for (revision, epoch) in acknowledged {
                let found = stored.get(*revision as usize - 1);
                if found != Some(epoch) {
                    return Err(format!(
                        "{key} was acknowledged at revision {revision} in epoch {epoch}: found {found:?}"
                    ));
                }
            }
            for (at, epoch) in stored.iter().enumerate() {
                let revision = at as u64 + 1;
                let is_last = stored.get(at + 1) != Some(epoch);
                if !acknowledged.contains_key(&revision) && !is_last {
                    return Err(format!(
                        "{key} has revision {revision}, which nobody acknowledged, and goes on in epoch {epoch}"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq>(found: T, expected: T, what: impl FnOnce() -> String) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(what())
    }
}

/// The epoch of each revision of an agent, from 1 on, or what is torn or missing.
async fn commits(storage: &dyn Storage, id: &AgentId) -> Result<Vec<Epoch>, String> {
    let loaded = storage.load(id).await.map_err(|e| e.to_string())?;
    let Some(loaded) = loaded else {
        return Ok(Vec::new());
    };
    let key = id.key.as_str();
    let last = loaded.record.revision.0;
    let len = loaded.record.thread_len.0;
    same(len, last * ENTRIES, || {
        format!("{id} has {len} entries of {last} commits")
    })?;
    let mut epochs: Vec<Epoch> = Vec::new();
    let mut seq = 0;
    while seq < len {
        let page = storage.read_thread(id, Seq(seq), 1000).await;
        let page = page.map_err(|e| e.to_string())?;
        same(page.is_empty(), false, || {
            format!("{id} ends at entry {seq}")
        })?;
        for entry in page {
            let revision = seq / ENTRIES + 1;
            same((entry.seq.0, entry.revision.0), (seq, revision), || {
                format!("{id} has a gap at entry {seq}")
            })?;
            let payload = content(key, entry.epoch, revision, seq % ENTRIES);
            same(entry.payload, payload, || {
                format!("entry {seq} of {id} is torn")
            })?;
            if seq % ENTRIES == 0 {
                same(epochs.last() <= Some(&entry.epoch), true, || {
                    format!("epochs fall in {id}")
                })?;
                epochs.push(entry.epoch);
            }
            same(epochs.last(), Some(&entry.epoch), || {
                format!("commit {revision} of {id} is torn")
            })?;
            seq += 1;
        }
    }
    if let Some(epoch) = epochs.last() {
        let state = content(key, *epoch, last, 100);
        let covers = loaded.record.thread_len;
        same(
            loaded.checkpoint,
            Some(Checkpoint { state, covers }),
            || format!("the checkpoint of {id} is torn"),
        )?;
    }
    for (revision, epoch) in (1..).zip(&epochs) {
        let reply = storage.reply_of(id, request(revision)).await;
        let reply = reply.map_err(|e| e.to_string())?;
        let reply = reply.map(|kept| (kept.revision.0, kept.reply));
        let expected = (revision, content(key, *epoch, revision, 200));
        same(reply, Some(expected), || {
            format!("request {revision} of {id} is torn from its effect")
        })?;
    }
    Ok(epochs)
}

/// An agent with two whole commits, both acknowledged.
async fn two_commits(storage: &dyn Storage) -> (Epoch, Ledger) {
    let me = register(storage, 0).await;
    let epoch = take(storage, &id("a"), me).await;
    let mut ledger = Ledger::default();
    for revision in 1..=2 {
        append(storage, whole(&id("a"), epoch, revision)).await;
        ledger.note(&format!("a {epoch} {revision}"));
    }
    ledger.check(storage).await.unwrap();
    (epoch, ledger)
}

async fn append(storage: &dyn Storage, commit: Commit) {
    let outcome = storage.append(commit).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(_)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_check_sees_what_is_lost_and_what_nobody_acknowledged() {
    let storage = MemoryStorage::new();
    let (epoch, mut ledger) = two_commits(&storage).await;
    append(&storage, whole(&id("a"), epoch, 3)).await;
    ledger.check(&storage).await.unwrap();
    append(&storage, whole(&id("a"), epoch, 4)).await;
    let why = ledger.check(&storage).await.unwrap_err();
    assert!(why.contains("nobody acknowledged"), "{why}");
    for revision in 3..=5 {
        ledger.note(&format!("a {epoch} {revision}"));
    }
    let why = ledger.check(&storage).await.unwrap_err();
    assert!(why.contains("acknowledged at revision 5"), "{why}");
    // Written again by a later activation is not the same commit.
    let again = take(&storage, &id("a"), Incarnation(1)).await;
    append(&storage, whole(&id("a"), again, 5)).await;
    let why = ledger.check(&storage).await.unwrap_err();
    assert!(why.contains("acknowledged at revision 5"), "{why}");
}

#[tokio::test]
async fn the_check_sees_a_commit_that_is_not_whole() {
    type Tear = fn(&mut Commit);
    let tears: [(&str, Tear); 5] = [
        ("entries of", |torn| {
            torn.entries.pop();
            torn.checkpoint = None;
        }),
        ("entry 7 of", |torn| torn.entries.swap(1, 2)),
        ("checkpoint", |torn| torn.checkpoint = None),
        ("request", |torn| torn.requests.clear()),
        ("request", |torn| torn.requests[0].reply = Bytes::new()),
    ];
    for (what, tear) in tears {
        let storage = MemoryStorage::new();
        let (epoch, mut ledger) = two_commits(&storage).await;
        let mut torn = whole(&id("a"), epoch, 3);
        tear(&mut torn);
        append(&storage, torn).await;
        ledger.note(&format!("a {epoch} 3"));
        let why = ledger.check(&storage).await.unwrap_err();
        assert!(why.contains(what), "{why}");
    }
}
