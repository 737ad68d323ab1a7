//! How a group committer is bounded.

use std::ops::RangeInclusive;

use crate::{Batching, Capabilities, Error, ErrorKind};

/// More than any pool of connections that one process has use for.
const LANES: RangeInclusive<usize> = 1..=256;

/// How a [`GroupCommitter`](crate::GroupCommitter) is bounded.
///
/// ```
/// use jido_storage::GroupOptions;
///
/// let options = GroupOptions::new().lanes(4).max_queued(1_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOptions {
    lanes: Option<usize>,
    max_queued: usize,
    max_queued_bytes: usize,
    max_batch: usize,
    max_batch_bytes: Option<usize>,
}

/// The bounds of one lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    pub(super) batch: usize,
    pub(super) batch_bytes: usize,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            lanes: None,
            max_queued: 16 * 1024,
            max_queued_bytes: 64 * 1024 * 1024,
            max_batch: 1024,
            max_batch_bytes: None,
        }
    }
}

impl GroupOptions {
    /// As many lanes as the adapter asks for, up to 256, 16,384 commits of together 64 MiB
    /// that wait in each, and batches of up to 1,024 commits and of the bytes of
    /// the largest commit that the adapter takes.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many batches may be in flight at once, from 1 to 256. Each agent has
    /// its lane. More than one pays where the adapter has several connections,
    /// and costs smaller batches; unless it is set, the adapter says
    /// ([`Batching::Lanes`]), and has 256 where it asks for more.
    #[must_use]
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = Some(lanes);
        self
    }

    /// How many commits may wait in one lane, at least 1. The default is what a
    /// hundred transactions a second of full batches do in a fraction of a
    /// second; whoever waits longer is better told so at once.
    #[must_use]
    pub fn max_queued(mut self, commits: usize) -> Self {
        self.max_queued = commits;
        self
    }

    /// How many bytes may wait in one lane, at least 1: what a storage that
    /// stands still may cost in memory. One commit is taken whatever its size
    /// when nothing else waits.
    #[must_use]
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.max_queued_bytes = bytes;
        self
    }

    /// How many commits and deletions are in one batch, at least 1. Beyond a
    /// thousand the share that each has in the cost of a transaction hardly gets
    /// smaller, while all wait longer for it.
    #[must_use]
    pub fn max_batch(mut self, commits: usize) -> Self {
        self.max_batch = commits;
        self
    }

    /// How many bytes are in one batch, at least 1; a commit that is larger goes
    /// alone. Unless it is set it is
    /// [`Capabilities::max_commit_bytes`](crate::Capabilities): what the adapter
    /// takes as one commit it takes as one batch.
    #[must_use]
    pub fn max_batch_bytes(mut self, bytes: usize) -> Self {
        self.max_batch_bytes = Some(bytes);
        self
    }

    pub(super) fn lanes_for(&self, capabilities: &Capabilities) -> Result<usize, Error> {
        let asked = match capabilities.batching {
            Batching::Lanes(lanes) => lanes.get(),
            Batching::Itself => 1,
        };
        // An adapter with more connections than there may be lanes is no mistake of anybody's.
        let lanes = self.lanes.unwrap_or(asked.min(*LANES.end()));
        if LANES.contains(&lanes) {
            return Ok(lanes);
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "lanes is {lanes}: it is {} to {}",
                LANES.start(),
                LANES.end()
            ),
        ))
    }

    pub(super) fn limits(&self, capabilities: &Capabilities) -> Result<Limits, Error> {
        let limits = Limits {
            queued: self.max_queued,
            queued_bytes: self.max_queued_bytes,
            batch: self.max_batch,
            batch_bytes: self
                .max_batch_bytes
                .unwrap_or(capabilities.max_commit_bytes),
        };
        for (name, value) in [
            ("max_queued", limits.queued),
            ("max_queued_bytes", limits.queued_bytes),
            ("max_batch", limits.batch),
            ("max_batch_bytes", limits.batch_bytes),
        ] {
            if value == 0 {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("{name} is 0: it is at least 1"),
                ));
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{MemoryStorage, Storage};

    #[test]
    fn an_adapter_that_asks_for_many_lanes_has_as_many_as_there_may_be() {
        for (asked, expected) in [(1, 1), (256, 256), (257, 256), (usize::MAX, 256)] {
            let capabilities = Capabilities {
                batching: Batching::Lanes(NonZeroUsize::new(asked).unwrap()),
                ..MemoryStorage::new().capabilities()
            };
            let lanes = GroupOptions::new().lanes_for(&capabilities).unwrap();
            assert_eq!(lanes, expected, "asked for {asked}");
            // What somebody has set is not changed in silence.
            let refused = GroupOptions::new().lanes(257).lanes_for(&capabilities);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
