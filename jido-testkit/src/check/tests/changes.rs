//! What is held against the changes in storage, and against what nodes sent.

use std::time::Duration;

use jido_cluster::{Epoch, Incarnation, Revision};

use super::record;
use crate::check::{epochs, hooks, hops, recovery, revisions};
use crate::history::{Hook, Record};
use crate::sim::{Applied, Change};

fn applied(epoch: u64, change: Change) -> Applied {
    Applied::new(Duration::ZERO, Epoch(epoch), change)
}

fn claimed(epoch: u64, owner: u128) -> Applied {
    let owner = Incarnation(owner);
    applied(epoch, Change::Claimed { owner })
}

fn committed(epoch: u64, before: u64, revision: u64, release: bool) -> Applied {
    let change = Change::Committed {
        before: Revision(before),
        revision: Revision(revision),
        counts: revision != before,
        state: None,
        entries: 0,
        release,
    };
    applied(epoch, change)
}

#[test]
fn revisions_with_gaps_and_writers_without_a_claim_are_refused() {
    let good = [
        claimed(1, 7),
        committed(1, 0, 1, false),
        claimed(2, 8),
        committed(2, 1, 2, true),
        claimed(3, 7),
        committed(3, 2, 2, true),
    ];
    assert_eq!(revisions::check("k", &good), []);
    for bad in [
        vec![claimed(1, 7), committed(1, 0, 2, false)],
        vec![
            claimed(1, 7),
            committed(1, 0, 1, false),
            committed(1, 0, 1, false),
        ],
        vec![claimed(1, 7), claimed(2, 8), committed(1, 0, 1, false)],
        vec![
            claimed(1, 7),
            committed(1, 0, 1, true),
            committed(1, 1, 2, false),
        ],
        vec![claimed(1, 7), claimed(1, 8)],
        vec![
            claimed(1, 7),
            applied(
                1,
                Change::Conflicted {
                    expected: Revision(0),
                    actual: Revision(1),
                },
            ),
        ],
    ] {
        assert_eq!(revisions::check("k", &bad).len(), 1, "{bad:?}");
    }
}

#[test]
fn epochs_that_fall_or_stay_are_refused() {
    assert_eq!(epochs::check("k", &[claimed(1, 7), claimed(2, 7)]), []);
    assert_eq!(epochs::check("k", &[claimed(2, 7), claimed(2, 8)]).len(), 1);
    assert_eq!(epochs::check("k", &[claimed(2, 7), claimed(1, 8)]).len(), 1);
}

#[test]
fn a_key_that_serves_too_late_or_never_is_refused() {
    let probe = |took: Option<u64>| recovery::Probe {
        key: "k".to_owned(),
        node: "n1".to_owned(),
        took: took.map(Duration::from_secs),
        last: String::new(),
    };
    let bound = Duration::from_secs(10);
    assert_eq!(recovery::check(&[probe(Some(10))], bound), []);
    assert_eq!(
        recovery::check(&[probe(Some(11)), probe(None)], bound).len(),
        2
    );
}

#[test]
fn hooks_out_of_order_or_under_epochs_of_nobody_are_refused() {
    let changes = [claimed(1, 7), claimed(2, 7), claimed(3, 8)];
    let judge = |hooks: &[Hook]| {
        let record = Record {
            hooks: hooks.to_vec(),
            ..record(0, &[])
        };
        hooks::check("k", &record, &changes).len()
    };
    let (started, stopping) = (Hook::Started, Hook::Stopping);
    assert_eq!(
        judge(&[started(1), stopping(2), started(3), stopping(3)]),
        0
    );
    assert_eq!(judge(&[started(1), started(3)]), 0, "the first crashed");
    for bad in [
        vec![],
        vec![stopping(1)],
        vec![started(1), started(1)],
        vec![started(2), stopping(1)],
        vec![started(1), started(9)],
    ] {
        assert_eq!(judge(&bad), 1, "{bad:?}");
    }
}

#[test]
fn a_request_that_is_sent_around_without_end_is_refused() {
    let sent = |every: u64, times: u64| hops::Sent {
        key: "k".to_owned(),
        node: "n1".to_owned(),
        request: "r".to_owned(),
        at: (0..times)
            .map(|t| Duration::from_millis(every * t))
            .collect(),
    };
    assert_eq!(hops::check(&[sent(5, 100), sent(11, 1_000)]), []);
    assert_eq!(hops::check(&[sent(3, 200)]).len(), 1);
}
