//! A policy's answers, whatever it does.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use jido_core::ManagerName;

use super::policy::{Candidate, Placement, PlacementPolicy};
use super::rendezvous::Scores;

/// Places keys as a policy says, and by rendezvous hashing where that panics or
/// says nothing that makes sense.
pub(crate) struct Guarded {
    manager: ManagerName,
    candidates: usize,
    /// None where it could not be prepared.
    placement: Option<Box<dyn Placement>>,
    otherwise: Scores,
    has_failed: AtomicBool,
}

impl Guarded {
    /// Prepares to place a manager's keys among these, which may be none.
    pub(crate) fn new(
        manager: &ManagerName,
        policy: &dyn PlacementPolicy,
        candidates: &[Candidate],
    ) -> Self {
        let prepared = match candidates {
            [] => None,
            some => catch_unwind(AssertUnwindSafe(|| policy.among(some))).ok(),
        };
        let guarded = Self {
            manager: manager.clone(),
            candidates: candidates.len(),
            otherwise: Scores::of(candidates),
            placement: prepared,
            has_failed: AtomicBool::new(false),
        };
        if guarded.placement.is_none() && !candidates.is_empty() {
            guarded.failed("it panicked when it prepared");
        }
        guarded
    }

    /// The place of the candidate that ought to own a key; none if there is none.
    pub(crate) fn place(&self, key: &str, hash: u64) -> Option<usize> {
        let Some(placement) = &self.placement else {
            return self.otherwise.place(hash);
        };
        match catch_unwind(AssertUnwindSafe(|| placement.place(key, hash))) {
            Ok(place) if place < self.candidates => Some(place),
            Ok(place) => {
                self.failed(&format!("{place} is the place of no candidate"));
                self.otherwise.place(hash)
            }
            Err(_) => {
                self.failed("it panicked");
                self.otherwise.place(hash)
            }
        }
    }

    fn failed(&self, why: &str) {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                manager = %self.manager, why,
                "the placement policy failed: keys are placed by names and weights"
            );
        }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("manager", &self.manager)
            .field("candidates", &self.candidates)
            .finish_non_exhaustive()
    }
}
