//! The protocol as it ought to be: no property fails in any state within the
//! bounds, and what has to happen does.

use crate::rules::{Bounds, Clocks, Rules, Takeover};
use crate::run::{long, search};
use crate::steps::Event;

/// Two nodes, one agent with two requests, and one each of: an end, a second life
/// of each node, an unknown outcome. No clock is trusted.
const ONE_AGENT: Bounds = Bounds {
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

const ONE_LIFE: Bounds = Bounds {
    rebirths: 0,
    ..ONE_AGENT
};

/// The same for two agents with a request each.
const TWO_AGENTS: Bounds = Bounds {
    keys: 2,
    epochs: 2,
    rebirths: 0,
    ..ONE_AGENT
};

const THREE_NODES: Bounds = Bounds {
    nodes: 3,
    requests: 1,
    ..ONE_AGENT
};

const THREE_NODES_TWO_REQUESTS: Bounds = Bounds {
    requests: 2,
    rebirths: 0,
    unknowns: 0,
    ..THREE_NODES
};

/// Claims that arrive when nobody waits for them, commits that arrive twice.
const STRAYS: Bounds = Bounds {
    requests: 1,
    strays: 1,
    doubles: 1,
    ..ONE_AGENT
};

/// Leased reads, with everything that can happen to a node.
const READS: Bounds = Bounds {
    requests: 1,
    epochs: 2,
    clocks: Clocks::Instant,
    ..ONE_AGENT
};

/// Leased reads that see commits in flight.
const HELD_READS: Bounds = Bounds {
    requests: 2,
    ends: 0,
    rebirths: 0,
    unknowns: 0,
    ..READS
};

const READS_OF_THREE: Bounds = Bounds {
    nodes: 3,
    requests: 1,
    ..HELD_READS
};

/// Renewals that take their time on the way there and on the way back.
const SLOW_RENEWALS: Bounds = Bounds {
    requests: 1,
    clocks: Clocks::Steps,
    ..HELD_READS
};

/// Searches all of these; what happened in any of them.
fn hold(takeover: Takeover, all: &[Bounds]) -> Vec<Event> {
    let mut met = Vec::new();
    for bounds in all {
        let found = search(Rules {
            bounds: *bounds,
            takeover,
            flaw: None,
        });
        assert_eq!(found.counterexamples, []);
        met.extend(found.events);
    }
    met
}

fn reached(met: &[Event], events: &[Event]) {
    let missing: Vec<_> = events.iter().filter(|event| !met.contains(event)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

const OF_WRITES: [Event; 9] = [
    Event::FencedAppend,
    Event::LateCommitFenced,
    Event::UnknownWasMade,
    Event::UnknownWasNotMade,
    Event::TakeoverAfterCrash,
    Event::NewLifeClaims,
    Event::AnsweredFromRecord,
    Event::ClaimAfterRelease,
    Event::PipelinedCommit,
];

#[test]
fn writes_are_safe_whatever_the_clocks_do() {
    let met = hold(
        Takeover::AfterLease,
        &[
            ONE_LIFE,
            TWO_AGENTS,
            THREE_NODES,
            THREE_NODES_TWO_REQUESTS,
            STRAYS,
        ],
    );
    reached(&met, &OF_WRITES);
}

#[test]
fn leased_reads_are_never_stale() {
    let met = hold(
        Takeover::AfterLease,
        &[READS, HELD_READS, READS_OF_THREE, SLOW_RENEWALS],
    );
    reached(
        &met,
        &[
            Event::ReadInLease,
            Event::HeldReadInLease,
            Event::ReadRefused,
            Event::SleeperFenced,
            Event::TakeoverAfterCrash,
            Event::NewLifeClaims,
        ],
    );
}

#[test]
fn writes_are_safe_where_an_owner_is_overtaken_before_its_lease_ends() {
    let met = hold(Takeover::OnDisconnect, &[ONE_LIFE, STRAYS, THREE_NODES]);
    reached(&met, &OF_WRITES);
}

/// Wider bounds, one at a time, with `JIDO_LONG=1`: minutes and gigabytes.
#[test]
fn wider_bounds_hold_where_there_is_time() {
    if !long() {
        println!("set JIDO_LONG=1 to search wider bounds");
        return;
    }
    let wider = [
        ONE_AGENT,
        Bounds {
            rebirths: 1,
            ..TWO_AGENTS
        },
        Bounds {
            epochs: 4,
            ..STRAYS
        },
        Bounds {
            epochs: 3,
            ..HELD_READS
        },
        Bounds { epochs: 3, ..READS },
        Bounds {
            keys: 2,
            ..HELD_READS
        },
    ];
    hold(Takeover::AfterLease, &wider);
}
