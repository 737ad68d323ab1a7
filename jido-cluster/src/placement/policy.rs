//! The hook by which others than the names and weights of nodes decide where keys are placed.

use std::fmt;

use jido_core::{Labels, NodeName};

/// A node that keys may be placed on: it runs their manager, and isn't leaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: NodeName,
    /// What it says about itself.
    pub labels: Labels,
}

/// Decides which node ought to own a key, for [`ManagerBuilder::placement`](crate::ManagerBuilder::placement).
///
/// Every node of the cluster must have the same policy for a manager: nodes that disagree send
/// calls from one to the other, and the rebalancer moves agents to and fro. What is committed is
/// safe all the same, since placement is a hint, and storage says who owns.
///
/// A policy is asked to prepare whenever nodes come, go or change, and what it prepared
/// is then asked for every call that meets no running agent. That is on the way of calls: it must be
/// quick, and neither wait nor do any I/O. If it panics, or answers with no candidate's place, this is
/// logged once for what was prepared, and the key is placed by [`Rendezvous`](super::Rendezvous).
///
/// So that keys move no more than they must, let a key's place follow from the key and the
/// candidates' names and labels alone, and let the [default](super::Rendezvous) choose among
/// those that you prefer:
///
/// ```
/// use jido_cluster::placement::{Candidate, Placement, PlacementPolicy, Rendezvous};
///
/// /// Keys such as `eu/room-7` go to nodes of that region, as long as there are any.
/// #[derive(Debug)]
/// struct ByRegion;
///
/// impl PlacementPolicy for ByRegion {
///     fn among(&self, candidates: &[Candidate]) -> Box<dyn Placement> {
///         let all = Rendezvous.among(candidates);
///         let in_eu = Rendezvous::of_those(candidates, |one| one.labels.region() == Some("eu"));
///         Box::new(move |key: &str, hash: u64| match &in_eu {
///             Some(in_eu) if key.starts_with("eu/") => in_eu.place(key, hash),
///             _ => all.place(key, hash),
///         })
///     }
/// }
/// ```
pub trait PlacementPolicy: fmt::Debug + Send + Sync + 'static {
    /// Prepares to place keys among these: at least one, each name once, in the order of names.
    fn among(&self, candidates: &[Candidate]) -> Box<dyn Placement>;
}

/// Places keys among the candidates that it was prepared for. Functions of a key and its
/// [hash](super::key_hash) are placements.
pub trait Placement: Send + Sync + 'static {
    /// The place among the candidates of the node that ought to own a key.
    fn place(&self, key: &str, hash: u64) -> usize;
}

impl<F: Fn(&str, u64) -> usize + Send + Sync + 'static> Placement for F {
    fn place(&self, key: &str, hash: u64) -> usize {
        self(key, hash)
    }
}
