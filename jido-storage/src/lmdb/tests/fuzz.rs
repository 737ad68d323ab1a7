//! Records that are anything, also such as fit their checksum.

use std::path::Path;

use heed::RoTxn;
use jido_core::fuzz::bounded;
use jido_core::{Entry, fuzz_target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::lmdb::codec::decode;
use crate::lmdb::job::Writing;
use crate::lmdb::schema::check_schema;
use crate::lmdb::tables::{CheckpointRow, EntryRow, Table, due_key};
use crate::{CommittedRequest, DirectoryQuery, NodeRecord};

const REQUEST: (u128, u64) = (3, 4);

fn request() -> RequestId {
    RequestId::new(REQUEST.0, REQUEST.1)
}

/// A storage with one agent that has everything.
struct World {
    storage: LmdbStorage,
    epoch: Epoch,
    _folder: TempDir,
}

fn world() -> World {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let storage = LmdbStorage::open(folder.path()).unwrap();
        register(&storage).await;
        let epoch = claim(&storage, &id("a")).await;
        let mut first = commit(&id("a"), epoch, 0, 10);
        first.entries.push(entry(3));
        first.entries[0].refs.push(("name".into(), "value".into()));
        first.checkpoint = Some(Checkpoint {
            state: Bytes::from_static(b"state"),
            covers: Seq(2),
        });
        first.thread_metadata.insert("title".into(), "text".into());
        first.reminders = Some(Reminders {
            wake_at: Some(Timestamp(7)),
            list: Bytes::from_static(b"list"),
        });
        first.requests.push(RequestRecord {
            request: request(),
            issued_at: Timestamp(1),
            reply: Bytes::from_static(b"reply"),
        });
        let outcome = storage.append(first).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{outcome:?}"
        );
        World {
            storage,
            epoch,
            _folder: folder,
        }
    })
}

impl World {
    fn tables(&self) -> Tables {
        *self.storage.handle.env.tables()
    }

    fn stored(&self, table: Table, key: &[u8]) -> Vec<u8> {
        let env = &self.storage.handle.env;
        env.read(|_, txn| Ok(table.get(txn, key)?.unwrap().to_vec()))
            .unwrap()
    }

    /// Puts bytes where a record stands, as they are and again with a header that
    /// fits them, and looks at what comes of it. Nothing of that is kept.
    fn put(&self, table: Table, key: &[u8], bytes: &[u8], look: impl Fn(&mut RwTxn<'_>)) {
        let mut fitting = bytes.to_vec();
        if let Some((header, body)) = fitting.split_first_chunk_mut::<10>() {
            header[..2].copy_from_slice(b"J\x01");
            header[2..].copy_from_slice(&xxh3_64(body).to_le_bytes());
        }
        for bytes in [bytes, &fitting] {
            let mut txn = self.storage.handle.env.begin().unwrap();
            table.put(&mut txn.txn, key, bytes).unwrap();
            bounded(bytes.len(), || look(&mut txn.txn));
        }
    }

    /// Everything that can be read of the agent and of the node.
    fn read_all(&self, txn: &RoTxn<'_>) {
        let tables = self.tables();
        let query = DirectoryQuery {
            cluster: cluster(),
            manager: ManagerName::new("agents").unwrap(),
            after: None,
            limit: 10,
        };
        drop(readable(tables.load(txn, &id("a"))));
        let thread: Option<Vec<Entry>> = readable(tables.thread(txn, &id("a"), Seq(0), 10));
        let seqs = thread.iter().flatten().map(|entry| entry.seq.0);
        assert!(seqs.eq(0..thread.as_ref().map_or(0, Vec::len) as u64));
        let reply: Option<Option<CommittedRequest>> =
            readable(tables.reply(txn, &id("a"), request()));
        drop(reply);
        drop(readable(tables.directory(txn, &query)));
        drop(readable(tables.due(txn, &due_by(u64::MAX))));
        let nodes: Option<Vec<NodeRecord>> = readable(tables.cluster_nodes(txn, &cluster()));
        drop(nodes);
    }

    /// Everything that is written on top of what is read.
    fn write_all(&self, txn: &mut RwTxn<'_>) {
        let mut next = commit(&id("a"), self.epoch, 1, 5);
        next.reminders = Some(Reminders::default());
        next.requests.push(RequestRecord {
            request: request(),
            issued_at: Timestamp(2),
            reply: Bytes::new(),
        });
        let renew = Renew {
            cluster: cluster(),
            incarnation: NODE,
        };
        let delete = Delete::new(id("a"), self.epoch, Timestamp(1));
        let claim = |key: &str| {
            Claim::new(ClaimRequest {
                id: id(key),
                claimant: NODE,
                take_from: None,
                at: Timestamp(1),
            })
        };
        let tables = self.tables();
        let mut writing = Writing::new(&tables, txn);
        let next = Append::new(next, MAX_COMMIT_BYTES).unwrap();
        drop(readable(next.run(&mut writing)));
        drop(readable(renew.run(&mut writing)));
        drop(readable(claim("a").run(&mut writing)));
        drop(readable(claim("new").run(&mut writing)));
        drop(readable(delete.run(&mut writing)));
    }
}

/// What was read; none where the record was refused, for a reason that fits.
fn readable<T>(read: Result<T, Fault>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(Fault::Refused(error)) => {
            let kind = error.kind();
            // Another agent's record in the place of this one is taken for one of
            // the same hash.
            let fits = matches!(kind, ErrorKind::Corrupt | ErrorKind::Schema)
                || error.to_string().contains("has the same hash");
            assert!(fits, "{kind:?}: {error}");
            None
        }
        Err(Fault::Engine(error)) => panic!("{error}"),
    }
}

/// What can be read as a row is written and read back the same.
fn reads_back<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    match decode::<T>(bytes, "a record") {
        Ok(row) => {
            let again = encode(&row).unwrap();
            let row: T = decode(&again, "a record").unwrap();
            assert_eq!(encode(&row).unwrap(), again);
        }
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Schema),
            "{error}"
        ),
    }
}

/// A target for the record of a row, of which `$extreme` makes one of the largest numbers.
macro_rules! record {
    ($name:ident, $row:ty, $table:ident, $key:expr, $extreme:expr) => {
        #[test]
        fn $name() {
            let world = world();
            let table = world.tables().$table;
            let key: Vec<u8> = $key;
            let whole = world.stored(table, &key);
            let mut row: $row = decode(&whole, "a record").unwrap();
            #[allow(
                clippy::redundant_closure_call,
                reason = "the row's type is the macro's"
            )]
            ($extreme)(&mut row);
            let seeds = vec![whole, encode(&row).unwrap()];
            fuzz_target!(seeds, |bytes: &[u8]| {
                reads_back::<$row>(bytes);
                world.put(table, &key, bytes, |txn| {
                    world.read_all(txn);
                    world.write_all(txn);
                });
            });
        }
    };
}

record!(
    agents,
    AgentRow<AgentId>,
    agents,
    agent_key(&id("a")),
    |row: &mut AgentRow<AgentId>| {
        row.slot = u64::MAX;
        row.revision = Revision(u64::MAX);
        row.thread_len = Seq(u64::MAX);
        row.floor = Timestamp(u64::MAX);
    }
);
record!(
    nodes,
    NodeRecord,
    nodes,
    node_key(&cluster(), NODE),
    |row: &mut NodeRecord| row.beat = u64::MAX
);
record!(
    checkpoints,
    CheckpointRow,
    checkpoints,
    slot_key(0).to_vec(),
    |row: &mut CheckpointRow| row.covers = Seq(u64::MAX)
);
record!(
    entries,
    EntryRow,
    entries,
    entry_key(0, Seq(1)).to_vec(),
    |_: &mut EntryRow| ()
);
record!(
    threads,
    BTreeMap<String, String>,
    threads,
    slot_key(0).to_vec(),
    |row: &mut BTreeMap<String, String>| row.clear()
);
record!(
    requests,
    CommittedRequest,
    requests,
    request_key(0, request()).to_vec(),
    |row: &mut CommittedRequest| row.issued_at = Timestamp(u64::MAX)
);

record!(
    reminders,
    Reminders,
    reminders,
    slot_key(0).to_vec(),
    |row: &mut Reminders| row.wake_at = Some(Timestamp(u64::MAX))
);
record!(
    due,
    AgentKey,
    due,
    due_key(&id("a"), Timestamp(7)),
    |row: &mut AgentKey| *row = AgentKey::new("k".repeat(1024)).unwrap()
);

#[test]
fn next_slot() {
    let world = world();
    let meta = world.tables().meta;
    let seeds = vec![world.stored(meta, b"next_slot"), vec![0xff; 8]];
    fuzz_target!(seeds, |bytes: &[u8]| {
        world.put(meta, b"next_slot", bytes, |txn| world.write_all(txn));
    });
}

#[test]
fn schema() {
    let world = world();
    let meta = world.tables().meta;
    let whole = world.stored(meta, b"schema");
    fuzz_target!(vec![whole.clone()], |bytes: &[u8]| {
        world.put(meta, b"schema", bytes, |txn| {
            let is_same = *meta.get(txn, b"schema").unwrap().unwrap() == *whole;
            let checked = check_schema(&meta, txn, Path::new("folder"), false);
            assert_eq!(readable(checked).is_some(), is_same);
        });
    });
}
