//! Every key serves again at every node within a bound once all is healed.

use std::time::Duration;

use super::Violation;

const INVARIANT: &str = "every key serves again at every node within a bound";

/// How long a key took to serve again, from when everything was healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The agent's key.
    pub key: String,
    /// The node that was asked.
    pub node: String,
    /// How long; none if it never did for as long as it was tried.
    pub took: Option<Duration>,
    /// What the last try was answered.
    pub last: String,
}

/// Checks the probes of all keys.
pub fn check(probes: &[Probe], bound: Duration) -> Vec<Violation> {
    let late = probes
        .iter()
        .filter(|probe| probe.took.is_none_or(|took| took > bound));
    late.map(|probe| {
        let what = match probe.took {
            Some(took) => format!(
                "at {} it took {took:?}, the bound is {bound:?}: {}",
                probe.node, probe.last
            ),
            None => format!("at {} it never did: {}", probe.node, probe.last),
        };
        Violation::new(INVARIANT, &probe.key, what)
    })
    .collect()
}
