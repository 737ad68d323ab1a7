//! Commits whose every byte tells where it belongs, so that whoever reads them later,
//! after a close, a kill or a race, sees what is missing, torn or foreign.

use bytes::Bytes;
use jido_core::{AgentId, Epoch, Incarnation, RequestId, Timestamp};

use super::fixture::{World, checkpoint, entry};
use crate::{ClaimOutcome, Commit, RequestRecord};

/// Entries of each [`whole`] commit.
const ENTRIES: u64 = 3;

fn content(key: &str, epoch: Epoch, revision: u64, part: u64) -> Bytes {
    let word = format!("{key}|{epoch}|{revision}|{part};");
    let len = 20 + (revision * 7919 + part * 104_729) % 9_000;
    Bytes::from(word.repeat(len as usize / word.len() + 1))
}

/// The commit that makes a revision: entries, a checkpoint and a reply.
pub(super) fn whole(id: &AgentId, epoch: Epoch, revision: u64) -> Commit {
    let key = id.key.as_str();
    let mut commit = super::fixture::commit(id, epoch, revision - 1);
    for part in 0..ENTRIES {
        commit
            .entries
            .push(entry(content(key, epoch, revision, part)));
    }
    let state = content(key, epoch, revision, 100);
    commit.checkpoint = Some(checkpoint(state, revision * ENTRIES));
    commit.requests.push(RequestRecord {
        request: RequestId::new(1, revision),
        issued_at: Timestamp(revision),
        reply: content(key, epoch, revision, 200),
    });
    commit
}

/// Checks an agent that only [`whole`] commits have written: no gap, nothing torn. Gives
/// the epoch of each revision, from 1 on.
pub(super) async fn check(world: &World, id: &AgentId) -> Vec<Epoch> {
    let Some(loaded) = world.storage.load(id).await.expect("load answers") else {
        return Vec::new();
    };
    let key = id.key.as_str();
    let last = loaded.record.revision.0;
    let thread = world.thread(id).await;
    assert_eq!(
        (loaded.record.thread_len.0, thread.len() as u64),
        (last * ENTRIES, last * ENTRIES),
        "{id} is at revision {last}: the length in its record and that of its thread"
    );
    let mut epochs: Vec<Epoch> = Vec::new();
    for entry in thread {
        let (revision, part) = (entry.seq.0 / ENTRIES + 1, entry.seq.0 % ENTRIES);
        assert_eq!(entry.revision.0, revision, "entry {} of {id}", entry.seq);
        let expected = content(key, entry.epoch, revision, part);
        assert!(
            entry.payload == expected,
            "entry {} of {id} is torn",
            entry.seq
        );
        if part == 0 {
            assert!(epochs.last() <= Some(&entry.epoch), "epochs fall in {id}");
            epochs.push(entry.epoch);
        }
        assert_eq!(
            epochs.last(),
            Some(&entry.epoch),
            "a commit of {id} is torn"
        );
    }
    if let Some(epoch) = epochs.last() {
        let checkpoint = loaded.checkpoint.expect("every commit has one");
        assert_eq!(checkpoint.covers, loaded.record.thread_len);
        let expected = content(key, *epoch, last, 100);
        assert!(
            checkpoint.state == expected,
            "the state of {id} is not of revision {last}"
        );
    }
    for (at, epoch) in epochs.iter().enumerate() {
        let revision = at as u64 + 1;
        let reply = world.reply(id, 1, revision).await;
        let expected = content(key, *epoch, revision, 200);
        assert!(
            reply == Some(expected),
            "the reply of revision {revision} of {id} is another"
        );
    }
    epochs
}

/// Claims an agent, from whoever owns it.
pub(super) async fn take(world: &World, id: &AgentId, me: Incarnation) -> Epoch {
    let mut take_from = None;
    loop {
        match world.try_claim(id, me, take_from).await {
            ClaimOutcome::Claimed(epoch) => return epoch,
            ClaimOutcome::Held { owner, .. } => take_from = Some(owner),
            ClaimOutcome::ClaimantDead => panic!("the claimant is registered"),
        }
    }
}
