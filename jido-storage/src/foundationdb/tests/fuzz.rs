//! Stored keys and values that are anything, also such as fit their checksum.

use jido_core::fuzz::bounded;
use jido_core::fuzz_target;
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_64;

use super::super::lanes::Marker;
use super::super::layout::{Content, chunk};
use super::*;
use crate::DirectoryQuery;

fn asked() -> RequestId {
    RequestId::new(1, 1)
}

/// Whose markers are looked at when the storage is opened.
const GONE: u128 = 1;

/// What an agent that has everything comes to in the database.
struct World {
    runtime: Runtime,
    layout: Layout,
    stored: BTreeMap<Vec<u8>, Vec<u8>>,
    epoch: Epoch,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let layout = Layout::new(PREFIX.to_vec());
        let (stored, epoch) = runtime.block_on(async {
            let double = Double::new();
            let (storage, a, epoch) = ready(&double).await;
            // The first is cut into two values.
            let mut full = note(&a, epoch, 0, 120_000);
            full.entries.extend(note(&a, epoch, 0, 5).entries);
            full.entries[1].refs.push(("name".into(), "value".into()));
            full.checkpoint = Some(checkpoint(vec![3; 500], 2));
            full.requests = vec![request(1, 1, "reply")];
            full.thread_metadata.insert("title".into(), "x".into());
            let outcome = storage.append(full).await;
            assert!(
                matches!(outcome, AppendOutcome::Committed(_)),
                "{outcome:?}"
            );
            (double.everything(), epoch)
        });
        Self {
            runtime,
            layout,
            stored,
            epoch,
        }
    }

    fn value(&self, key: &[u8]) -> Vec<u8> {
        self.stored[key].clone()
    }

    /// Opens a database in which a key has other bytes, and does all that there is.
    fn with(&self, key: &[u8], bytes: &[u8]) {
        let double = Double::new();
        for (key, value) in &self.stored {
            double.tamper(key.clone(), Some(value.clone()));
        }
        double.tamper(key.to_vec(), Some(bytes.to_vec()));
        bounded(bytes.len(), || {
            self.runtime.block_on(use_all(&double, self.epoch));
        });
    }

    /// The bytes as they are, and again with a header that fits them.
    fn with_record(&self, key: &[u8], bytes: &[u8]) {
        let mut fitting = bytes.to_vec();
        if let Some((header, body)) = fitting.split_first_chunk_mut::<10>() {
            header[..2].copy_from_slice(b"J\x01");
            header[2..].copy_from_slice(&xxh3_64(body).to_le_bytes());
        }
        self.with(key, bytes);
        self.with(key, &fitting);
    }
}

/// Whether something was read; else it was refused for a reason that fits.
fn readable<T>(read: Result<T, Error>) -> bool {
    if let Err(error) = &read {
        let kind = error.kind();
        let fits = matches!(kind, ErrorKind::Corrupt | ErrorKind::Schema);
        assert!(fits, "{kind:?}: {error}");
    }
    read.is_ok()
}

fn ended(outcome: AppendOutcome) {
    match outcome {
        AppendOutcome::Unknown(error) => panic!("nothing was lost: {error}"),
        AppendOutcome::Failed(error) => assert!(!readable(Err::<(), _>(error))),
        _ => {}
    }
}

/// Everything that can be read, and what is written on top of it.
async fn use_all(double: &Arc<Double>, epoch: Epoch) {
    let database = Arc::new(Handle(double.clone()));
    let opened = FoundationDbStorage::over(database, PREFIX.to_vec(), 2, DEFAULT_MAX_COMMIT_BYTES);
    let storage = match opened.await {
        Ok(storage) => storage,
        Err(error) => {
            readable(Err::<(), _>(error));
            return;
        }
    };
    let a = id("a");
    readable(storage.head(&a).await);
    readable(storage.load(&a).await);
    let thread = storage.read_thread(&a, Seq(0), 10).await;
    if let Ok(entries) = &thread {
        let seqs = entries.iter().map(|entry| entry.seq.0);
        assert!(seqs.eq(0..entries.len() as u64));
    }
    readable(thread);
    readable(storage.reply_of(&a, asked()).await);
    readable(storage.nodes(&cluster()).await);
    let query = DirectoryQuery {
        cluster: cluster(),
        manager: a.manager.clone(),
        after: None,
        limit: 10,
    };
    readable(storage.directory(query).await);
    readable(storage.renew_node(&cluster(), NODE).await);
    let mut next = note(&a, epoch, 1, 5);
    next.requests = vec![request(1, 1, "again")];
    ended(storage.append(next).await);
    readable(
        storage
            .claim(ClaimRequest {
                id: a.clone(),
                claimant: NODE,
                take_from: None,
                at: Timestamp(1),
            })
            .await,
    );
    ended(storage.delete(&a, epoch, Timestamp(1)).await);
}

/// A target for the value of a key.
macro_rules! value {
    ($name:ident, $key:expr) => {
        #[test]
        fn $name() {
            let world = World::new();
            let content = world.layout.content(&id("a"));
            let key: Vec<u8> = $key(&world.layout, &content);
            fuzz_target!(vec![world.value(&key)], |bytes: &[u8]| world
                .with_record(&key, bytes));
        }
    };
}

value!(claims, |layout: &Layout, _: &Content| layout
    .claim(&id("a")));
value!(states, |layout: &Layout, _: &Content| layout
    .state(&id("a")));
value!(nodes, |layout: &Layout, _: &Content| layout
    .node(&cluster(), NODE));
value!(beats, |layout: &Layout, _: &Content| layout
    .beat(&cluster(), NODE));
value!(schema, |layout: &Layout, _: &Content| layout.schema());
value!(checkpoints, |_: &Layout, content: &Content| chunk(
    &content.checkpoint(),
    0
));
value!(metadata, |_: &Layout, content: &Content| chunk(
    &content.metadata(),
    0
));
value!(entries, |_: &Layout, content: &Content| chunk(
    &content.entry(Seq(1)),
    0
));
value!(marks, |_: &Layout, content: &Content| content.mark(asked()));
value!(replies, |_: &Layout, content: &Content| chunk(
    &content.reply(asked()),
    0
));

/// The second part of a record that is cut.
#[test]
fn chunks() {
    let world = World::new();
    let entry = world.layout.content(&id("a")).entry(Seq(0));
    let key = chunk(&entry, 1);
    let seeds = vec![world.value(&key), Vec::new()];
    fuzz_target!(seeds, |bytes: &[u8]| world.with(&key, bytes));
}

/// Keys among ours that nobody has written, with values that others have.
#[test]
fn keys() {
    let world = World::new();
    let seeds: Vec<Vec<u8>> = world.stored.keys().cloned().collect();
    let values: Vec<Vec<u8>> = world.stored.values().cloned().collect();
    fuzz_target!(seeds, |bytes: &[u8]| {
        let value = &values[bytes.len() % values.len()];
        world.with(bytes, &value[..value.len().min(1_000)]);
        let behind = [PREFIX, bytes].concat();
        world.with(&behind, &value[..value.len().min(1_000)]);
    });
}

#[test]
fn markers() {
    let world = World::new();
    let key = world.layout.marker(GONE, 0);
    let whole = Marker {
        number: 1,
        version: 2,
    };
    let seeds = vec![whole.encode()];
    fuzz_target!(seeds, |bytes: &[u8]| {
        if let Some(marker) = Marker::decode(bytes) {
            let again = marker.encode();
            assert_eq!(Marker::decode(&again), Some(marker));
        }
        world.with(&key, bytes);
    });
}

#[cfg(feature = "conformance")]
#[test]
fn cursors() {
    let world = World::new();
    let storage = world.runtime.block_on(async {
        let (storage, _, _) = ready(&Double::new()).await;
        for key in ["b/é", "c", "room-7", "x".repeat(1024).as_str()] {
            claim(&storage, &id(key)).await;
        }
        storage
    });
    let query = |after, limit| DirectoryQuery {
        cluster: cluster(),
        manager: id("a").manager,
        after,
        limit,
    };
    let mut cursors = Vec::new();
    let mut after = None;
    loop {
        let page = storage.directory(query(after, 1));
        match world.runtime.block_on(page).unwrap().next {
            None => break,
            Some(next) => {
                cursors.push(next.0.to_vec());
                after = Some(next);
            }
        }
    }
    assert_eq!(cursors.len(), 4);
    fuzz_target!(cursors, |bytes: &[u8]| {
        let query = query(None, 2);
        let asked = crate::conformance::hostile_cursor(&storage, &query, bytes);
        bounded(bytes.len(), || world.runtime.block_on(asked));
    });
}
