//! Which node ought to own a key: rendezvous hashing over the members' names.
//!
//! The function is fixed, so that every version and every client computes the
//! same owner. With XXH3 of 64 bits, `fmix64` being the finalizer of MurmurHash3:
//!
//! ```text
//! manager = XXH3_64(cluster ‖ 0x00 ‖ manager name, seed 0)
//! key     = XXH3_64(key, seed manager)
//! node    = XXH3_64(node name, seed 0)
//! score   = fmix64(key XOR node)
//! ```
//!
//! The node with the largest score owns the key; of two with the same score, the
//! one with the smaller name. When a node leaves, its keys alone move; when one
//! joins, keys move to it alone. (D. Thaler, C. Ravishankar: "Using Name-Based
//! Mappings to Increase Hit Rates", 1998; A. Appleby's MurmurHash3.)
//!
//! # Weights
//!
//! Nodes may have [weights](jido_core::Labels::with_weight), and each then gets keys in
//! proportion to its own. Where all weights are the same, whatever they are, the owner is the
//! one above. Else it is the node with the smallest `cost`; of two with the same, the one
//! with the larger score, and then the smaller name:
//!
//! ```text
//! cost    = log(score) / weight        compared by cross-multiplication, without a division
//! log(0)  = log(1)
//! log(s)  = (zeros + 1) · 2^40 − (T[i] + floor((T[i + 1] − T[i]) · f / 2^32))
//! zeros   = the number of zero bits before the first one of s
//! rest    = s · 2^(zeros + 1) mod 2^64     what follows that one
//! i       = floor(rest / 2^54)             its upper 10 bits
//! f       = floor(rest / 2^22) mod 2^32    the 32 bits below them
//! T[i]    = floor(2^40 · log2(1 + i / 1024))
//! ```
//!
//! That is `−log2(score / 2^64)` in whole numbers, to seven decimals, and the same on every machine. The
//! logarithms of evenly spread numbers are such that the smallest cost falls to each node in
//! proportion to its weight. When a node's weight grows, keys move to it alone; when it
//! shrinks, from it alone. (C. Schindelhauer, G. Schomaker: "Weighted Distributed Hash
//! Tables", 2005.)
//!
//! # Policies
//!
//! Where something else than the names and weights should decide, a manager is given a
//! [`PlacementPolicy`]: [`ZoneAware`], or one of your own. Every node must have the same.
//!
//! Placement is a hint: storage decides who owns an agent.
//!
//! # Test vectors
//!
//! In cluster `demo`, manager `counters`, nodes `n1`, `n2` and `n3`:
//!
//! | key | hash of the key | owner |
//! |---|---|---|
//! | `counter-1` | `2e814ed82d360a15` | n1 |
//! | `counter-2` | `bfb01e9c37e37798` | n1 |
//! | `counter-3` | `092106099220882d` | n1 |
//! | `room/7` | `6be3bf9f1f51b021` | n1 |
//! | `ключ` | `04c8d6d5cdace34d` | n3 |
//!
//! The same keys, the nodes having the weights 100, 200 and 50:
//!
//! | key | owner |
//! |---|---|
//! | `counter-1` | n1 |
//! | `counter-2` | n1 |
//! | `counter-3` | n2 |
//! | `room/7` | n1 |
//! | `ключ` | n2 |
//!
//! Logarithms:
//!
//! | s | log(s) |
//! |---|---|
//! | `0000000000000000` | 70368744177664 |
//! | `0000000000000001` | 70368744177664 |
//! | `8000000000000000` | 1099511627776 |
//! | `c000000000000000` | 456338556421 |
//! | `0123456789abcdef` | 8591343321794 |
//! | `fedcba9876543210` | 7065775179 |
//! | `ffffffffffffffff` | 1 |

mod guarded;
mod logarithm;
mod policy;
mod rendezvous;
mod zones;

pub(crate) use guarded::Guarded;
pub use policy::{Candidate, Placement, PlacementPolicy};
pub use rendezvous::Rendezvous;
pub use zones::ZoneAware;

use jido_core::{ClusterName, ManagerName, NodeName};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The seed that a manager's keys are hashed with.
pub fn manager_seed(cluster: &ClusterName, manager: &ManagerName) -> u64 {
    let mut bytes = Vec::with_capacity(cluster.as_str().len() + 1 + manager.as_str().len());
    bytes.extend_from_slice(cluster.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(manager.as_str().as_bytes());
    xxh3_64(&bytes)
}

/// The hash of a key, given its manager's seed.
pub fn key_hash(manager_seed: u64, key: &str) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), manager_seed)
}

/// The hash of a node's name.
pub fn node_hash(name: &NodeName) -> u64 {
    xxh3_64(name.as_str().as_bytes())
}

/// How strongly a node attracts a key.
pub fn score(key_hash: u64, node_hash: u64) -> u64 {
    let mut x = key_hash ^ node_hash;
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

/// The place in `node_hashes` of the node that ought to own a key; none if there
/// is no node. The hashes stand in the order of the nodes' names.
pub fn place(key_hash: u64, node_hashes: &[u64]) -> Option<usize> {
    let mut best: Option<(u64, usize)> = None;
    for (at, node) in node_hashes.iter().enumerate() {
        let score = score(key_hash, *node);
        // Of equal scores the first, the smaller name, stays.
        if best.is_none_or(|(top, _)| score > top) {
            best = Some((score, at));
        }
    }
    best.map(|(_, at)| at)
}

#[cfg(test)]
mod tests;
