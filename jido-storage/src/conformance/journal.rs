//! Checkpoints and threads by themselves, through a [`Journal`]: rules 1, 2 and 5.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jido_core::{Checkpoint, Incarnation, NewEntry, NodeName, Revision, Seq, Timestamp};

use super::fixture::{World, checkpoint, cluster, commit, committed, entry, fenced, id, note};
use crate::{Error, ErrorKind, Journal, ThreadAppend};

super::cases![
    Append: [a_journal_puts_gets_and_deletes_checkpoints],
    Thread: [
        a_journal_appends_to_and_deletes_threads,
        a_journal_loads_a_thread_whole_while_it_is_erased,
    ],
    Claim: [a_journal_writes_beside_no_live_owner],
    Release: [a_journal_gives_back_what_it_claims],
];

const AT: Timestamp = Timestamp(80);

async fn journal(world: &World, name: &str, life: u128) -> Result<Journal, Error> {
    let name = NodeName::new(name).expect("a name");
    Journal::open(
        world.storage.clone(),
        cluster(),
        name,
        Incarnation(life),
        AT,
    )
    .await
}

fn kind_of<T: std::fmt::Debug>(refused: Result<T, Error>) -> ErrorKind {
    refused.expect_err("it was to be refused").kind()
}

fn len_of(len: u64) -> ThreadAppend {
    ThreadAppend::Appended { len: Seq(len) }
}

fn title(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("title".to_owned(), text.to_owned())])
}

fn entries(words: &[&'static str]) -> Vec<NewEntry> {
    words.iter().map(|word| entry(*word)).collect()
}

fn payloads(thread: &crate::Thread) -> Vec<&[u8]> {
    let entries = thread.entries.iter();
    entries.map(|entry| &entry.payload[..]).collect()
}

async fn a_journal_puts_gets_and_deletes_checkpoints(world: World) {
    let journal = journal(&world, "journal", 1).await.unwrap();
    let a = id("a");
    assert_eq!(journal.get_checkpoint(&a).await.unwrap(), None);
    journal.delete_checkpoint(&a, AT).await.unwrap();
    assert!(
        world.keys("agents", 10).await.is_empty(),
        "nothing was written"
    );
    for state in ["one", "", "three"] {
        journal
            .put_checkpoint(&a, checkpoint(state, 0), AT)
            .await
            .unwrap();
        let kept = journal.get_checkpoint(&a).await.unwrap();
        assert_eq!(kept, Some(checkpoint(state, 0)));
    }
    let len = journal
        .append_thread(&a, None, entries(&["x"]), BTreeMap::new(), AT)
        .await
        .unwrap();
    journal
        .put_checkpoint(&a, checkpoint("four", 1), AT)
        .await
        .unwrap();
    let beyond = journal.put_checkpoint(&a, checkpoint("five", 2), AT).await;
    assert_eq!(kind_of(beyond), ErrorKind::InvalidInput);
    let kept: Option<Checkpoint> = journal.get_checkpoint(&a).await.unwrap();
    assert_eq!(kept, Some(checkpoint("four", 1)));

    journal.delete_checkpoint(&a, AT).await.unwrap();
    assert_eq!(journal.get_checkpoint(&a).await.unwrap(), None);
    let thread = journal.load_thread(&a).await.unwrap().expect("it stays");
    assert_eq!((len, payloads(&thread)), (len_of(1), vec![&b"x"[..]]));
}

async fn a_journal_appends_to_and_deletes_threads(world: World) {
    let journal = journal(&world, "journal", 1).await.unwrap();
    let a = id("a");
    assert_eq!(journal.load_thread(&a).await.unwrap(), None);
    journal
        .put_checkpoint(&a, checkpoint("state", 0), AT)
        .await
        .unwrap();
    assert_eq!(journal.load_thread(&a).await.unwrap(), None);
    let append = async |expected, words: &[&'static str], text| {
        let metadata = title(text);
        let appended = journal.append_thread(&a, expected, entries(words), metadata, AT);
        appended.await
    };
    assert_eq!(
        append(Some(Seq(0)), &["a", "b"], "kept").await.unwrap(),
        len_of(2)
    );
    for wrong in [0, 1, 3, u64::MAX] {
        let refused = append(Some(Seq(wrong)), &["no"], "no").await.unwrap();
        assert_eq!(refused, ThreadAppend::Conflict { actual: Seq(2) });
    }
    assert_eq!(
        append(Some(Seq(2)), &["c"], "late").await.unwrap(),
        len_of(3)
    );
    assert_eq!(append(None, &["d"], "late").await.unwrap(), len_of(4));
    let thread = journal.load_thread(&a).await.unwrap().expect("a thread");
    assert_eq!(payloads(&thread), [b"a", b"b", b"c", b"d"]);
    assert_eq!(thread.metadata, title("kept"));

    journal.delete_thread(&a, AT).await.unwrap();
    journal.delete_thread(&a, AT).await.unwrap();
    assert_eq!(journal.load_thread(&a).await.unwrap(), None);
    let kept = journal.get_checkpoint(&a).await.unwrap();
    assert_eq!(kept, Some(checkpoint("state", 0)), "a checkpoint stays");
    assert_eq!(
        append(Some(Seq(0)), &["e"], "second").await.unwrap(),
        len_of(1)
    );
    let thread = journal.load_thread(&a).await.unwrap().expect("a thread");
    assert_eq!(payloads(&thread), [b"e"]);
    assert_eq!(thread.metadata, title("second"));
}

async fn a_journal_loads_a_thread_whole_while_it_is_erased(world: World) {
    const LEN: usize = 1_200;
    let one = world.node(2).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let over = Arc::new(AtomicBool::new(false));
    let writing = {
        let (world, a, over) = (world.clone(), a.clone(), over.clone());
        tokio::spawn(async move {
            // Fewer times than a journal tries to read it.
            for round in 0..12 {
                let mut anew = commit(&a, epoch, round);
                anew.erase.thread = true;
                anew.entries = vec![entry(round.to_string()); LEN];
                anew.thread_metadata = title(&round.to_string());
                committed(world.append(anew).await);
                tokio::task::yield_now().await;
            }
            over.store(true, Ordering::SeqCst);
        })
    };
    let journal = journal(&world, "journal", 1).await.unwrap();
    loop {
        let last = over.load(Ordering::SeqCst);
        if let Some(thread) = journal.load_thread(&a).await.unwrap() {
            let round = thread.metadata["title"].as_bytes();
            assert_eq!(thread.entries.len(), LEN);
            let whole = payloads(&thread).iter().all(|payload| *payload == round);
            assert!(whole, "entries of another thread");
        }
        if last || writing.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
}

async fn a_journal_writes_beside_no_live_owner(world: World) {
    let one = world.node(2).await;
    let journal = journal(&world, "journal", 1).await.unwrap();
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    let put = journal.put_checkpoint(&a, checkpoint("late", 0), AT).await;
    let deleted = journal.delete_thread(&a, AT).await;
    let appended = journal
        .append_thread(&a, None, entries(&["late"]), BTreeMap::new(), AT)
        .await;
    for refused in [put, deleted, appended.map(drop)] {
        let error = refused.expect_err("the owner is up");
        assert_eq!(error.kind(), ErrorKind::Held);
        assert!(error.to_string().contains(&one.to_string()), "{error}");
    }
    // It reads, and the owner was not disturbed.
    let thread = journal.load_thread(&a).await.unwrap().expect("a thread");
    assert_eq!(thread.entries.len(), 1);
    committed(world.append(note(&a, epoch, 1)).await);

    world.bury(one).await;
    journal.delete_thread(&a, AT).await.unwrap();
    let now = world.head(&a).await;
    assert_eq!((now.owner, now.revision), (None, Revision(3)));
    assert_eq!(fenced(world.append(note(&a, epoch, 3)).await), now.epoch);
}

async fn a_journal_gives_back_what_it_claims(world: World) {
    let one = world.node(2).await;
    let own = journal(&world, "journal", 1).await.unwrap();
    let taken = journal(&world, "journal", 3).await;
    assert_eq!(kind_of(taken), ErrorKind::InvalidInput);
    own.renew().await.unwrap();
    let a = id("a");
    own.put_checkpoint(&a, checkpoint("state", 0), AT)
        .await
        .unwrap();
    assert_eq!(world.head(&a).await.owner, None);
    let conflict = own
        .append_thread(&a, Some(Seq(9)), entries(&["no"]), BTreeMap::new(), AT)
        .await;
    assert_eq!(
        conflict.unwrap(),
        ThreadAppend::Conflict { actual: Seq::ZERO }
    );
    assert_eq!(world.head(&a).await.owner, None);
    let limit = world.storage.capabilities().max_commit_bytes;
    let too_large = checkpoint(vec![0; limit + 1], 0);
    let refused = own.put_checkpoint(&a, too_large, AT).await;
    assert_eq!(kind_of(refused), ErrorKind::TooLarge);
    assert_eq!(world.head(&a).await.owner, None);
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 1)).await);

    // What it holds is free when it is closed, and it does no more.
    let b = id("b");
    world.claim(&b, Incarnation(1)).await;
    let closed = Journal::open(
        world.storage.clone(),
        cluster(),
        NodeName::new("journal").expect("a name"),
        Incarnation(1),
        AT,
    );
    let again = closed
        .await
        .expect("the same life opens again while it is up");
    own.close().await.unwrap();
    let late = again.put_checkpoint(&b, checkpoint("late", 0), AT).await;
    assert_eq!(kind_of(late), ErrorKind::Closed);
    assert_eq!(kind_of(again.renew().await), ErrorKind::Closed);
    world.claim(&b, one).await;
}
