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
mod tests {
    use super::*;

    fn hashes(names: &[&str]) -> Vec<u64> {
        names
            .iter()
            .map(|name| node_hash(&NodeName::new(name).unwrap()))
            .collect()
    }

    fn seed() -> u64 {
        manager_seed(
            &ClusterName::new("demo").unwrap(),
            &ManagerName::new("counters").unwrap(),
        )
    }

    #[test]
    fn the_documented_vectors_hold() {
        let names = ["n1", "n2", "n3"];
        let documented = include_str!("placement.rs");
        for key in ["counter-1", "counter-2", "counter-3", "room/7", "ключ"] {
            let hash = key_hash(seed(), key);
            let owner = names[place(hash, &hashes(&names)).unwrap()];
            let row = format!("//! | `{key}` | `{hash:016x}` | {owner} |");
            assert!(
                documented.contains(&row),
                "the documentation lacks the row\n{row}"
            );
        }
    }

    #[test]
    fn nobody_owns_anything_where_there_is_no_node() {
        assert_eq!(place(7, &[]), None);
    }

    #[test]
    fn keys_spread_evenly_and_only_those_of_a_lost_node_move() {
        let names = ["n1", "n2", "n3", "n4", "n5"];
        let all = hashes(&names);
        let without = hashes(&["n1", "n2", "n4", "n5"]);
        let mut counts = [0u32; 5];
        for i in 0..20_000 {
            let hash = key_hash(seed(), &format!("key-{i}"));
            let before = place(hash, &all).unwrap();
            counts[before] += 1;
            let after = place(hash, &without).unwrap();
            let after = if after >= 2 { after + 1 } else { after };
            assert!(before == 2 || before == after);
        }
        // 4,000 each are expected, with a standard deviation of 57.
        assert!(
            counts.iter().all(|n| (3_700..4_300).contains(n)),
            "{counts:?}"
        );
    }
}
