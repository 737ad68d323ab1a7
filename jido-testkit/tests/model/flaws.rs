//! The model is itself tried: every way to get the protocol wrong has to show.

use crate::properties::*;
use crate::rules::{Bounds, Clocks, Flaw, Rules, Takeover};
use crate::run::search;
use crate::steps::Event;

/// Writes, whatever the clocks do.
const WRITES: Bounds = Bounds {
    nodes: 2,
    keys: 1,
    requests: 2,
    epochs: 3,
    ends: 1,
    rebirths: 1,
    unknowns: 1,
    strays: 0,
    doubles: 0,
    clocks: Clocks::None,
};

/// Reads within leases.
const READS: Bounds = Bounds {
    requests: 1,
    rebirths: 0,
    unknowns: 0,
    clocks: Clocks::Instant,
    ..WRITES
};

/// Commits that storage gets twice.
const DOUBLES: Bounds = Bounds {
    doubles: 1,
    ..WRITES
};

/// A read that waits for the commit of one request while another is acknowledged.
const HELD: Bounds = Bounds {
    requests: 2,
    epochs: 2,
    ends: 0,
    ..READS
};

/// Renewals that take their time.
const STEPS: Bounds = Bounds {
    clocks: Clocks::Steps,
    ..READS
};

/// Each flaw, where it shows, and the property that it breaks.
const FLAWS: [(Flaw, Bounds, &str); 19] = [
    (Flaw::NoEpochCheck, WRITES, ONE_WRITER),
    (Flaw::NoRevisionCheck, DOUBLES, ONE_WRITER),
    (Flaw::ClaimKeepsEpoch, WRITES, EPOCHS_GROW),
    (Flaw::ClaimIgnoresOwner, READS, NEVER_STALE),
    (Flaw::ClaimAndLoadInOneStep, WRITES, NOTHING_LOST),
    (Flaw::AcknowledgeBeforeCommit, WRITES, AFTER_COMMIT),
    (Flaw::ReadOfCommitInFlight, READS, AFTER_COMMIT),
    (Flaw::UnknownIsMade, WRITES, AFTER_COMMIT),
    (Flaw::UnknownSettledWithoutEpoch, WRITES, DENIED_STAYS),
    (Flaw::NoDedup, WRITES, AT_MOST_ONCE),
    (Flaw::RecordApartFromEffect, WRITES, AT_MOST_ONCE),
    (Flaw::ReleaseWithoutEpoch, READS, NEVER_STALE),
    (Flaw::NoLease, READS, NEVER_STALE),
    (Flaw::HeldReadWithoutLease, HELD, NEVER_STALE),
    (Flaw::LeaseFromReceipt, STEPS, NEVER_STALE),
    (Flaw::DeadFromOneMissedBeat, READS, NEVER_STALE),
    (Flaw::DeadWhateverBeat, READS, NEVER_STALE),
    (Flaw::DeadMayRenew, READS, NEVER_STALE),
    (Flaw::DeadBeforeStopped, READS, NEVER_STALE),
];

#[test]
fn every_flaw_has_a_counterexample() {
    let mut silent = Vec::new();
    for (flaw, bounds, property) in FLAWS {
        let found = search(Rules {
            bounds,
            takeover: Takeover::AfterLease,
            flaw: Some(flaw),
        });
        let broken: Vec<_> = found
            .counterexamples
            .iter()
            .map(|(name, _)| *name)
            .collect();
        match found
            .counterexamples
            .iter()
            .find(|(name, _)| *name == property)
        {
            Some((_, actions)) => {
                println!(
                    "{flaw:?} breaks \"{property}\" in {} steps: {actions:?}",
                    actions.len()
                );
            }
            None => silent.push((flaw, property, broken)),
        }
    }
    assert!(silent.is_empty(), "not shown: {silent:#?}");
}

#[test]
fn reads_may_be_stale_where_owners_are_overtaken_before_their_lease_ends() {
    let found = search(Rules {
        bounds: READS,
        takeover: Takeover::OnDisconnect,
        flaw: None,
    });
    assert_eq!(found.counterexamples, []);
    assert!(found.events.contains(&Event::StaleRead));
}
