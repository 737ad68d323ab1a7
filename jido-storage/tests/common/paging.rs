//! A long thread is read by pages, in the memory of a page. The program that includes
//! this has `PeakAlloc` as its allocator, and nothing else runs in it meanwhile.

use std::collections::BTreeMap;

use bytes::Bytes;
use jido_core::fuzz::PeakAlloc;
use jido_core::{
    AgentId, AgentKey, ClusterName, Entry, Incarnation, ManagerName, NewEntry, NodeName, Revision,
    Seq, Timestamp,
};
use jido_storage::{AppendOutcome, ClaimOutcome, ClaimRequest, Commit, NodeRegistration, Storage};

const ENTRIES: u64 = 100_000;
const PAYLOAD: usize = 200;
const PAGE: usize = 1_000;
/// What an entry takes beside its payload, at the most: its fields, and what a decoder
/// has of it at the same time.
const BESIDE: usize = 400;
/// Pages that may be in memory at once: one that is read, and one on its way.
const PAGES: usize = 2;
/// What an adapter may take beside them, whatever the length of the thread.
const BASE: usize = 256 * 1024;

/// What the payload of an entry begins with; the rest is filled up.
fn payload(seq: u64) -> Bytes {
    let mut payload = seq.to_be_bytes().to_vec();
    payload.resize(PAYLOAD, 7);
    payload.into()
}

/// Makes a thread of 100,000 entries.
async fn fill(storage: &dyn Storage) -> AgentId {
    let cluster = ClusterName::new("paging").unwrap();
    let claimant = Incarnation(1);
    let node = NodeRegistration {
        cluster: cluster.clone(),
        name: NodeName::new("n1").unwrap(),
        incarnation: claimant,
        address: String::new(),
        metadata: BTreeMap::new(),
        at: Timestamp(0),
    };
    storage.register_node(node).await.unwrap();
    let id = AgentId::new(
        cluster,
        ManagerName::new("agents").unwrap(),
        AgentKey::new("long").unwrap(),
    );
    let claim = ClaimRequest {
        id: id.clone(),
        claimant,
        take_from: None,
        at: Timestamp(0),
    };
    let ClaimOutcome::Claimed(epoch) = storage.claim(claim).await.unwrap() else {
        panic!("not claimed")
    };
    for (revision, first) in (0..ENTRIES).step_by(PAGE).enumerate() {
        let expected = Revision(revision as u64);
        let mut commit = Commit::new(id.clone(), epoch, expected, Timestamp(0));
        commit.entries = (first..first + PAGE as u64)
            .map(|seq| NewEntry::new("noted", Timestamp(0), payload(seq)).unwrap())
            .collect();
        let outcome = storage.append(commit).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{outcome:?}"
        );
    }
    id
}

/// Reads the thread from end to end, and gives each page to `keep`; answers what it took
/// at its peak beyond what there was before.
async fn peak(storage: &dyn Storage, id: &AgentId, mut keep: impl FnMut(Vec<Entry>)) -> usize {
    let before = PeakAlloc.current_usage();
    assert!(before > 0, "PeakAlloc is not the global allocator");
    PeakAlloc.reset_peak_usage();
    let mut seq = 0;
    while seq < ENTRIES {
        let page = storage.read_thread(id, Seq(seq), PAGE).await.unwrap();
        assert!((1..=PAGE).contains(&page.len()), "{} entries", page.len());
        for entry in &page {
            assert_eq!(entry.seq, Seq(seq));
            assert_eq!(entry.payload, payload(seq));
            seq += 1;
        }
        keep(page);
    }
    PeakAlloc.peak_usage().saturating_sub(before)
}

/// Holds that loading a thread of 100,000 entries by pages of 1,000 takes the memory
/// of a page or two, whatever the adapter, and prints what it took.
#[allow(clippy::print_stdout, reason = "it tells what it measured")]
pub(crate) async fn pages_take_the_memory_of_a_page(storage: &dyn Storage) {
    let id = fill(storage).await;
    let bound = BASE + PAGES * PAGE * (PAYLOAD + BESIDE);
    // Once before, for what is made by the first read and stays.
    let first = storage.read_thread(&id, Seq(0), PAGE).await.unwrap();
    drop(first);
    let taken = peak(storage, &id, drop).await;
    println!(
        "paging {ENTRIES} entries of {PAYLOAD} bytes took {taken} bytes: the bound is {bound}"
    );
    assert!(
        taken <= bound,
        "paging took {taken} bytes: the bound is {bound}"
    );
    // The measure sees it when pages are kept.
    let mut pages = Vec::new();
    let kept = peak(storage, &id, |page| pages.push(page)).await;
    println!("with all pages kept it took {kept} bytes");
    assert!(kept > 4 * bound, "all pages at once took only {kept} bytes");
}
