//! The default policy: rendezvous hashing over names and weights.

use super::logarithm::{FRACTION, minus_log2};
use super::policy::{Candidate, Placement, PlacementPolicy};
use super::{node_hash, place, score};

/// Places keys by the names and weights of nodes alone, as the [module](super) says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rendezvous;

impl Rendezvous {
    /// Prepares to place keys among those candidates alone for which `wanted` holds; none if it
    /// holds for none. Places are still those among all candidates.
    pub fn of_those(
        candidates: &[Candidate],
        wanted: impl Fn(&Candidate) -> bool,
    ) -> Option<Box<dyn Placement>> {
        let wanted = (0..).zip(candidates).filter(|(_, one)| wanted(one));
        let (places, those): (Vec<usize>, Vec<&Candidate>) = wanted.unzip();
        if those.is_empty() {
            return None;
        }
        let scores = Scores::of(those);
        Some(Box::new(move |_: &str, hash: u64| {
            let place = scores.place(hash).and_then(|at| places.get(at));
            place.copied().unwrap_or(usize::MAX)
        }))
    }
}

impl PlacementPolicy for Rendezvous {
    fn among(&self, candidates: &[Candidate]) -> Box<dyn Placement> {
        let scores = Scores::of(candidates);
        Box::new(move |_: &str, hash: u64| scores.place(hash).unwrap_or(usize::MAX))
    }
}

/// What scores are made of, in the order of names.
#[derive(Debug)]
pub(super) enum Scores {
    /// Of nodes with the same weight: the hashes of their names.
    Even(Vec<u64>),
    /// The hashes of their names, and their weights.
    Weighted(Vec<(u64, u64)>),
}

impl Scores {
    pub(super) fn of<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> Self {
        let both = candidates
            .into_iter()
            .map(|one| (node_hash(&one.name), u64::from(one.labels.weight())));
        let both: Vec<(u64, u64)> = both.collect();
        let is_even = both.windows(2).all(|pair| pair[0].1 == pair[1].1);
        match is_even {
            true => Self::Even(both.into_iter().map(|(hash, _)| hash).collect()),
            false => Self::Weighted(both),
        }
    }

    /// The place of the node that ought to own a key; none if there is no node.
    pub(super) fn place(&self, key_hash: u64) -> Option<usize> {
        match self {
            Self::Even(hashes) => place(key_hash, hashes),
            Self::Weighted(nodes) => place_weighted(key_hash, nodes),
        }
    }
}

/// The best node so far.
struct Best {
    at: usize,
    score: u64,
    /// Below 2^46, so that its product with a weight below 2^14 fits.
    log: u64,
    weight: u64,
}

fn place_weighted(key_hash: u64, nodes: &[(u64, u64)]) -> Option<usize> {
    let mut best: Option<Best> = None;
    for (at, &(node_hash, weight)) in nodes.iter().enumerate() {
        let score = score(key_hash, node_hash);
        let Some(top) = &best else {
            let log = minus_log2(score);
            best = Some(Best {
                at,
                score,
                log,
                weight,
            });
            continue;
        };
        // A logarithm is no less than the distance from 1, which is quicker to come by.
        let bar = top.log * weight;
        if (!score >> (64 - FRACTION)) * top.weight > bar {
            continue;
        }
        let log = minus_log2(score);
        let cost = log * top.weight;
        // Of equal ones the first, the smaller name, stays.
        if cost < bar || cost == bar && score > top.score {
            best = Some(Best {
                at,
                score,
                log,
                weight,
            });
        }
    }
    best.map(|best| best.at)
}
