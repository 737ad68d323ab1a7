//! Placement by zones.

use super::policy::{Candidate, Placement, PlacementPolicy};
use super::rendezvous::Rendezvous;

/// Places keys on nodes in the zones given, by names and weights; on all nodes while none of
/// them is in any of these zones.
///
/// A node's zone is what [`NodeBuilder::zone`](crate::NodeBuilder::zone) says. The zones given are the
/// same on every node: those that the keys ought to be in, and not those of the node itself.
///
/// ```
/// use jido_cluster::placement::ZoneAware;
///
/// // In either, by the weights of all their nodes.
/// let two_of_three = ZoneAware::any_of(["eu-1a", "eu-1b"]);
/// // In the first while it has a node, else in the second.
/// let with_a_spare = ZoneAware::in_order(["eu-1a", "eu-1b"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneAware {
    /// Each preferred to those after it.
    tiers: Vec<Vec<String>>,
}

impl ZoneAware {
    /// Prefers nodes in any of these zones.
    pub fn any_of<Z: Into<String>>(zones: impl IntoIterator<Item = Z>) -> Self {
        Self {
            tiers: vec![zones.into_iter().map(Into::into).collect()],
        }
    }

    /// Prefers nodes in the first of these zones in which there is one.
    pub fn in_order<Z: Into<String>>(zones: impl IntoIterator<Item = Z>) -> Self {
        Self {
            tiers: zones.into_iter().map(|zone| vec![zone.into()]).collect(),
        }
    }
}

impl PlacementPolicy for ZoneAware {
    fn among(&self, candidates: &[Candidate]) -> Box<dyn Placement> {
        let preferred = self.tiers.iter().find_map(|zones| {
            Rendezvous::of_those(candidates, |one| {
                let zone = one.labels.zone();
                zone.is_some_and(|zone| zones.iter().any(|wanted| wanted == zone))
            })
        });
        preferred.unwrap_or_else(|| Rendezvous.among(candidates))
    }
}
