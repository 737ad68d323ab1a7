//! An agent whose thread tells its state, read from there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use jido_core::{Agent, Entry, Seq, encode_state};
use jido_storage::{Loaded, is_planted};

use super::hooks::{agent_error, panic_text};
use super::running::{by_entries, covered};
use super::start::refusal_of;
use crate::delivery::Refusal;
use crate::error::{Error, ErrorKind};
use crate::router::Router;

/// How many entries are read at a time.
const PAGE: usize = 256;

/// Folds the entries that an agent's checkpoint does not cover into it, page by page, and
/// gives it with its serialized state. Those of an agent whose commits carry its state are
/// in there already.
///
/// The outer error tells that storage could not be read, the inner one that the agent
/// can't be.
pub(super) async fn unfold<A: Agent>(
    router: &Router<A>,
    mut agent: A,
    loaded: &Loaded,
) -> Result<Result<(A, Bytes), Error>, Refusal> {
    let record = &loaded.record;
    let mut next = covered(loaded);
    if next == record.thread_len || !by_entries::<A>() || is_planted!(EntriesNotReplayed) {
        return Ok(with_state(agent, loaded));
    }
    let storage = &router.settings().storage;
    while next < record.thread_len {
        // No further than the record tells: what was written since is another owner's.
        let left = usize::try_from(record.thread_len.0 - next.0).unwrap_or(PAGE);
        let page = storage.read_thread(&record.id, next, left.min(PAGE)).await;
        let page = page.map_err(refusal_of)?;
        // Nor what another has written in the place of a thread that was deleted.
        if page.iter().any(|entry| entry.epoch > record.epoch) {
            return Err(Refusal::NotOwner { hint: None });
        }
        if let Err(error) = fold(&mut agent, &page, next) {
            return Ok(Err(error));
        }
        next = Seq(next.0 + page.len() as u64);
    }
    Ok(encoded(&agent).map(|state| (agent, state)))
}

/// Folds a page of entries into an agent.
fn fold<A: Agent>(agent: &mut A, page: &[Entry], from: Seq) -> Result<(), Error> {
    let unreadable = |why: String| Error::new(ErrorKind::Unreadable, why);
    if page.first().map(|entry| entry.seq) != Some(from) {
        return Err(unreadable(format!(
            "the thread has no entry {from}, which its record tells of"
        )));
    }
    for entry in page {
        let replayed = catch_unwind(AssertUnwindSafe(|| agent.replay(entry)));
        let why = match &replayed {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => agent_error(error).to_string(),
            Err(panic) => panic_text(panic.as_ref()).to_owned(),
        };
        let (seq, kind) = (entry.seq, &entry.kind);
        return Err(unreadable(format!(
            "entry {seq} of the thread, of kind {kind:?}, could not be replayed: {why}"
        )));
    }
    Ok(())
}

/// An agent with its serialized state: as it is stored, so that a change by code that
/// writes it otherwise shows.
fn with_state<A: Agent>(agent: A, loaded: &Loaded) -> Result<(A, Bytes), Error> {
    let state = match &loaded.checkpoint {
        // A copy, since the bytes of a page of storage may be around it.
        Some(checkpoint) => Bytes::copy_from_slice(&checkpoint.state),
        None => encoded(&agent)?,
    };
    Ok((agent, state))
}

fn encoded<A: Agent>(agent: &A) -> Result<Bytes, Error> {
    let mut state = BytesMut::new();
    encode_state(agent, &mut state)?;
    // A copy has no bytes to spare.
    Ok(Bytes::copy_from_slice(&state))
}
