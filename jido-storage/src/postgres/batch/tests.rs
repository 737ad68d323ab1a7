use std::collections::BTreeSet;

use bytes::Bytes;
use jido_core::{AgentKey, ClusterName, Epoch, ManagerName, Revision, Timestamp};

use super::*;

fn commit() -> Commit {
    let id = AgentId::new(
        ClusterName::new("c").unwrap(),
        ManagerName::new("m").unwrap(),
        AgentKey::new("k").unwrap(),
    );
    Commit::new(id, Epoch(1), Revision(0), Timestamp(1))
}

fn entry(refs: &[(&str, &str)]) -> NewEntry {
    let mut entry = NewEntry::new("e", Timestamp(1), Bytes::from_static(b"\x01")).unwrap();
    let refs = refs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    entry.refs = refs.collect();
    entry
}

fn request(seq: u64) -> RequestRecord {
    RequestRecord {
        request: RequestId::new(1, seq),
        issued_at: Timestamp(1),
        reply: Bytes::new(),
    }
}

/// A commit that needs exactly this much, one of each that it needs at all.
fn needing(record: Record, entries: Entries, requests: Requests) -> Commit {
    let mut commit = commit();
    match record {
        Record::Counted => {}
        Record::Saved => commit.forget_before = Some(Timestamp(1)),
        Record::RarelySet => commit.release = true,
        Record::Erased => commit.erase.thread = true,
    }
    match entries {
        Entries::None => {}
        Entries::Plain => commit.entries.push(entry(&[])),
        Entries::Described => commit.entries.push(entry(&[("name", "value")])),
    }
    if requests > Requests::None {
        commit.requests.push(request(1));
    }
    if requests == Requests::Forgotten {
        commit.forget.push(RequestId::new(1, 0));
    }
    commit
}

fn batch(commits: &[Commit]) -> Vec<Placed<'_>> {
    let placed = |(at, commit)| Placed {
        at,
        number: 1,
        commit,
    };
    commits.iter().enumerate().map(placed).collect()
}

fn needs_of(commits: &[Commit]) -> Needs {
    Needs::of(commits.iter(), false)
}

#[test]
fn every_statement_gets_as_many_values_as_it_has() {
    let mut statements = BTreeSet::new();
    let mut check = |commits: &[Commit]| {
        let needs = needs_of(commits);
        let sql = needs.statement();
        let count = arguments_of(&batch(commits), needs, false).unwrap().len();
        assert!(sql.contains(&format!("${count}::")), "{needs:?}: {sql}");
        assert!(
            !sql.contains(&format!("${}", count + 1)),
            "{needs:?}: {sql}"
        );
        assert!(!sql.contains('{'), "{needs:?}: {sql}");
        assert_eq!(sql.contains("unnest"), !needs.single, "{needs:?}: {sql}");
        statements.insert(sql);
    };
    use {Entries as E, Record as R, Requests as Q};
    for record in [R::Counted, R::Saved, R::RarelySet, R::Erased] {
        for entries in [E::None, E::Plain, E::Described] {
            for requests in [Q::None, Q::Applied, Q::Forgotten] {
                let one = needing(record, entries, requests);
                let needs = needs_of(std::slice::from_ref(&one));
                let found = (needs.record, needs.entries, needs.requests);
                assert_eq!(found, (record, entries, requests));
                assert!(needs.single);
                check(&[commit(), one.clone()]);
                check(&[one]);
            }
        }
    }
    assert_eq!(statements.len(), 72);
}

#[test]
fn values_come_by_themselves_where_there_is_one_of_each() {
    let all = needing(Record::Saved, Entries::Plain, Requests::Forgotten);
    let mut two_entries = all.clone();
    two_entries.entries.push(entry(&[]));
    let mut two_requests = all.clone();
    two_requests.requests.push(request(2));
    let mut two_forgotten = all.clone();
    two_forgotten.forget.push(RequestId::new(1, 3));
    let mut none_applied = all.clone();
    none_applied.requests.clear();
    for many in [two_entries, two_requests, two_forgotten, none_applied] {
        assert!(!needs_of(&[many]).single);
    }
    assert!(!needs_of(&[commit(), commit()]).single);
    assert!(needs_of(&[commit()]).single);
    assert!(needs_of(&[all]).single);
}

#[test]
fn entries_are_described_where_json_is_asked_for() {
    let one = [needing(Record::Counted, Entries::Plain, Requests::None)];
    assert_eq!(Needs::of(one.iter(), true).entries, Entries::Described);
    let none = [commit()];
    assert_eq!(Needs::of(none.iter(), true).entries, Entries::None);
}
