//! Every statement that an append may be does what the reference does.

use bytes::Bytes;
use jido_core::{AgentId, Checkpoint, Entry, Epoch, RequestId, Revision, Seq, Timestamp};
use jido_storage::{
    AppendOutcome, ClaimRequest, Commit, CommittedRequest, Loaded, MemoryStorage, NodeRegistration,
    PostgresStorage, Reminders, RequestRecord, Storage,
};

use crate::fixture::*;

/// What of a record, of entries and of requests a commit writes.
const CHOICES: [usize; 3] = [5, 4, 4];

fn request(seq: u64) -> RequestRecord {
    RequestRecord {
        request: RequestId::new(7, seq),
        issued_at: Timestamp(30 + seq),
        reply: Bytes::from(format!("reply {seq}")),
    }
}

/// The first commit of an agent: there is something to keep, to replace and to erase.
fn first(key: &str, epoch: Epoch) -> Commit {
    let mut commit = note(key, epoch, 0);
    commit.thread_metadata = [("title".to_owned(), "first".to_owned())].into();
    commit.checkpoint = Some(Checkpoint {
        state: Bytes::from_static(b"first"),
        covers: Seq(1),
    });
    commit.reminders = Some(Reminders {
        wake_at: Some(Timestamp(70)),
        list: Bytes::from_static(b"first"),
    });
    commit.requests.extend([0, 1].map(request));
    commit
}

fn second(key: &str, epoch: Epoch, [record, entries, requests]: [usize; 3]) -> Commit {
    let mut commit = Commit::new(id(key), epoch, Revision(1), Timestamp(50));
    if record >= 1 {
        commit.checkpoint = Some(Checkpoint {
            state: Bytes::from_static(b"second"),
            covers: Seq(0),
        });
        commit.forget_before = Some(Timestamp(20));
    }
    match record {
        2 => {
            commit.reminders = Some(Reminders {
                wake_at: None,
                list: Bytes::new(),
            });
        }
        3 => {
            commit.checkpoint = None;
            commit.erase.checkpoint = true;
            commit.release = true;
        }
        4 => {
            commit.erase.thread = true;
            commit.thread_metadata = [("title".to_owned(), "second".to_owned())].into();
        }
        _ => {}
    }
    let mut notes = [note(key, epoch, 1), note_of("other", key, epoch, 1)].map(|mut note| {
        let entry = note.entries.pop();
        entry.unwrap()
    });
    notes[1].refs = vec![("name".to_owned(), "value".to_owned())];
    let [plain, described] = notes;
    commit.entries = match entries {
        0 => vec![],
        1 => vec![plain],
        2 => vec![described],
        _ => vec![plain, described],
    };
    if requests >= 1 {
        commit.requests.push(request(2));
    }
    if requests >= 2 {
        commit.forget.push(RequestId::new(7, 0));
    }
    if requests >= 3 {
        commit.forget.push(RequestId::new(7, 1));
        commit.requests.push(request(3));
    }
    commit
}

/// All that is stored of an agent.
type Found = (Option<Loaded>, Vec<Entry>, Vec<Option<CommittedRequest>>);

async fn found(storage: &dyn Storage, id: &AgentId) -> Found {
    let mut replies = Vec::new();
    for seq in 0..4 {
        let request = RequestId::new(7, seq);
        replies.push(storage.reply_of(id, request).await.unwrap());
    }
    (
        storage.load(id).await.unwrap(),
        storage.read_thread(id, Seq(0), 10).await.unwrap(),
        replies,
    )
}

fn all_committed(outcomes: &[AppendOutcome]) {
    for outcome in outcomes {
        committed(outcome);
    }
}

async fn reference(keys: &[&str]) -> MemoryStorage {
    let memory = MemoryStorage::new();
    let node = NodeRegistration {
        cluster: cluster(),
        name: jido_core::NodeName::new("n1").unwrap(),
        incarnation: NODE,
        address: String::new(),
        metadata: Default::default(),
        at: Timestamp(1),
    };
    memory.register_node(node).await.unwrap();
    for key in keys {
        let claim = ClaimRequest {
            id: id(key),
            claimant: NODE,
            take_from: None,
            at: Timestamp(2),
        };
        memory.claim(claim).await.unwrap();
    }
    memory
}

/// One commit alone, and one beside that of an agent that adds nothing but an entry.
async fn check(storage: &PostgresStorage, choice: [usize; 3]) {
    let key = |name: &str| format!("{name} {choice:?}");
    let (alone, batched, beside) = (key("alone"), key("batched"), key("beside"));
    let keys = [&*alone, &batched, &beside];
    let memory = reference(&keys).await;
    let mut epochs = Vec::new();
    for key in keys {
        epochs.push(claim(storage, key).await);
    }
    let begin: Vec<_> = std::iter::zip(keys, &epochs)
        .map(|(key, epoch)| first(key, *epoch))
        .collect();
    let one = vec![second(&alone, epochs[0], choice)];
    let two = vec![
        note(&beside, epochs[2], 1),
        second(&batched, epochs[1], choice),
    ];
    for commits in [begin, one, two] {
        let expected = memory.append_many(commits.clone()).await;
        all_committed(&expected);
        let outcomes = storage.append_many(commits).await;
        all_committed(&outcomes);
        let revisions =
            |outcomes: &[AppendOutcome]| -> Vec<u64> { outcomes.iter().map(committed).collect() };
        assert_eq!(revisions(&outcomes), revisions(&expected), "{choice:?}");
    }
    for key in keys {
        let id = id(key);
        let expected = found(&memory, &id).await;
        assert_eq!(found(storage, &id).await, expected, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_statement_does_what_the_reference_does() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, _) = claimed(options(&url), &[]).await;
    let [records, entries, requests] = CHOICES;
    for record in 0..records {
        for entries in 0..entries {
            for requests in 0..requests {
                check(&storage, [record, entries, requests]).await;
            }
        }
    }
    storage.close().await;
}
