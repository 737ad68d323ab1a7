//! Whether an agent's thread tells its state.

use jido_core::{Entry, EventSourced, decode_payload, encode_payload};

use crate::error::{Error, ErrorKind};

/// At how many places of a thread a checkpoint is tried, at the most.
const CHECKPOINTS: usize = 64;

/// Folds a thread into a fresh agent, and holds that the result is the agent that was
/// live: once in one go, and once from a checkpoint at each of up to 64 places of the
/// thread. So it finds an agent that changes otherwise than by its events, events that
/// don't tell what happened, and a checkpoint that lacks what later events need.
///
/// `initial` is what the manager makes of a fresh agent. The thread is whole, as
/// `Handle::thread` gives it page by page, and `live` is what the agent answered
/// about itself once the last of its entries was committed.
///
/// ```
/// # use jido_core::{AgentError, Context, Entry, Epoch, EventSourced, NewEntry, Revision, Seq};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Clone, Default, Serialize, Deserialize)]
/// struct Sum(i64);
///
/// impl EventSourced for Sum {
///     const KIND: &'static str = "sum";
///     type Message = i64;
///     type Event = i64;
///     type Reply = i64;
///
///     async fn decide(&self, by: i64, _: &mut Context<'_>) -> Result<(Vec<i64>, i64), AgentError> {
///         Ok((vec![by], self.0 + by))
///     }
///
///     fn apply(&mut self, by: i64) {
///         self.0 += by;
///     }
/// }
///
/// # fn entry(seq: u64, by: i64) -> Entry {
/// #     let payload = jido_core::encode_payload(&by).unwrap();
/// #     let entry = NewEntry::new("event", Default::default(), payload).unwrap();
/// #     Entry::committed(&entry, Seq(seq), Revision(seq + 1), Epoch(1))
/// # }
/// let thread = [entry(0, 2), entry(1, 3)];
/// jido_testkit::check_replay(&Sum::default(), &thread, &Sum(5))?;
/// let wrong = jido_testkit::check_replay(&Sum::default(), &thread, &Sum(6));
/// assert!(wrong.unwrap_err().to_string().contains("the live state is 6"));
/// # Ok::<(), jido_testkit::Error>(())
/// ```
///
/// # Errors
///
/// What differs, and from which checkpoint on; or which entry, or state, can't be read or
/// written. The agent is to be mended.
pub fn check_replay<E: EventSourced>(initial: &E, thread: &[Entry], live: &E) -> Result<(), Error> {
    if let Some((at, entry)) = (0u64..).zip(thread).find(|(at, entry)| entry.seq.0 != *at) {
        return Err(differs(format!(
            "the thread is not whole: entry {at} has place {}",
            entry.seq
        )));
    }
    let step = thread.len() / CHECKPOINTS + 1;
    let mut folded = copy(initial, "the initial state")?;
    for (at, entry) in thread.iter().enumerate() {
        if at % step == 0 {
            let mut from = copy(&folded, &format!("the checkpoint at entry {at}"))?;
            for later in &thread[at..] {
                apply(&mut from, later)?;
            }
            compare(&from, live, &format!("from a checkpoint at entry {at}"))?;
        }
        apply(&mut folded, entry)?;
    }
    compare(&folded, live, "from the beginning")
}

fn differs(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Differs, why)
}

/// The state as it comes back from a checkpoint.
fn copy<E: EventSourced>(state: &E, what: &str) -> Result<E, Error> {
    let read = encode_payload(state).and_then(|bytes| decode_payload(&bytes));
    read.map_err(|error| differs(format!("{what} does not come back: {error}")))
}

fn apply<E: EventSourced>(state: &mut E, entry: &Entry) -> Result<(), Error> {
    match E::read_event(&entry.kind, &entry.payload) {
        Ok(event) => state.apply(event),
        Err(error) => {
            let why = format!("entry {} can't be read: {error}", entry.seq);
            return Err(differs(why));
        }
    }
    Ok(())
}

fn compare<E: EventSourced>(replayed: &E, live: &E, how: &str) -> Result<(), Error> {
    let bytes = |state: &E| {
        encode_payload(state)
            .map_err(|error| differs(format!("a state does not serialize: {error}")))
    };
    if bytes(replayed)? == bytes(live)? {
        return Ok(());
    }
    // Maps without an order differ in their bytes, and not in their values.
    let value = |state: &E| serde_json::to_value(state);
    match (value(replayed), value(live)) {
        (Ok(replayed), Ok(live)) if replayed == live => Ok(()),
        (Ok(replayed), Ok(live)) => Err(differs(format!(
            "replayed {how}, the state is {replayed}, and the live state is {live}"
        ))),
        (Err(error), _) | (_, Err(error)) => Err(differs(format!(
            "replayed {how}, the state is not the live one; neither can be shown: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jido_core::{AgentError, Context, Epoch, NewEntry, Revision, Seq, Timestamp};
    use serde::{Deserialize, Serialize};

    /// Adds numbers up, and is wrong in ways that tests choose.
    #[derive(Debug, Clone, Default, Serialize, Deserialize)]
    struct Sum {
        sum: i64,
        /// Counts events: not in checkpoints, though what is added depends on it.
        #[serde(skip)]
        seen: i64,
        weighted: bool,
    }

    impl EventSourced for Sum {
        const KIND: &'static str = "sum";
        type Message = i64;
        type Event = i64;
        type Reply = i64;

        async fn decide(
            &self,
            by: i64,
            _: &mut Context<'_>,
        ) -> Result<(Vec<i64>, i64), AgentError> {
            Ok((vec![by], self.sum + by))
        }

        fn apply(&mut self, by: i64) {
            self.seen += 1;
            self.sum += if self.weighted { by * self.seen } else { by };
        }
    }

    fn thread(numbers: &[i64]) -> Vec<Entry> {
        let entries = (0u64..).zip(numbers).map(|(seq, by)| {
            let payload = encode_payload(by).unwrap();
            let entry = NewEntry::new("event", Timestamp(0), payload).unwrap();
            Entry::committed(&entry, Seq(seq), Revision(seq + 1), Epoch(1))
        });
        entries.collect()
    }

    fn sum(sum: i64, weighted: bool) -> Sum {
        Sum {
            sum,
            seen: 0,
            weighted,
        }
    }

    fn refused(weighted: bool, numbers: &[i64], live: i64) -> String {
        let initial = sum(0, weighted);
        let checked = check_replay(&initial, &thread(numbers), &sum(live, weighted));
        checked.unwrap_err().to_string()
    }

    #[test]
    fn a_thread_that_tells_the_state_passes_however_long() {
        for len in [0, 1, 2, 63, 64, 65, 300] {
            let numbers: Vec<i64> = (0..len).collect();
            let live = sum(numbers.iter().sum(), false);
            check_replay(&sum(0, false), &thread(&numbers), &live).unwrap();
        }
    }

    #[test]
    fn a_state_that_changed_otherwise_is_refused() {
        let why = refused(false, &[1, 2], 4);
        assert!(why.contains(r#"the live state is {"sum":4"#), "{why}");
    }

    #[test]
    fn a_checkpoint_that_lacks_what_events_need_is_refused() {
        // Folded in one go it is right.
        let why = refused(true, &[1, 2, 3], 14);
        assert!(why.contains("from a checkpoint at entry 1"), "{why}");
    }

    #[test]
    fn a_thread_with_a_hole_or_a_foreign_entry_is_refused() {
        let mut holed = thread(&[1, 2, 3]);
        holed.remove(1);
        let error = check_replay(&sum(0, false), &holed, &sum(4, false)).unwrap_err();
        assert!(error.to_string().contains("not whole"), "{error}");
        let mut foreign = thread(&[1]);
        foreign[0].payload = encode_payload(&"one").unwrap();
        let error = check_replay(&sum(0, false), &foreign, &sum(1, false)).unwrap_err();
        assert!(
            error.to_string().contains("entry 0 can't be read"),
            "{error}"
        );
    }
}
