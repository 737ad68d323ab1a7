//! A call finds its way: nodes do not send it to each other without end.

use std::time::Duration;

use super::Violation;

const INVARIANT: &str = "a request is not sent around without end";

/// Within this time ..
const WITHIN: Duration = Duration::from_secs(1);

/// .. a node sends one request this often at the most. A few tries follow each other at
/// once and others after pauses that grow, also where a client begins anew at every node
/// in turn: 60 or so.
const MOST: usize = 100;

/// When a node has sent one request to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The agent's key.
    pub key: String,
    /// Who sent it.
    pub node: String,
    /// Which request, for people.
    pub request: String,
    /// When, in order.
    pub at: Vec<Duration>,
}

/// Checks what was sent.
pub fn check(sent: &[Sent]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for Sent {
        key,
        node,
        request,
        at,
    } in sent
    {
        let often = at.windows(MOST + 1).find(|tries| {
            let (first, last) = (tries.first(), tries.last());
            first.zip(last).is_some_and(|(f, l)| *l - *f < WITHIN)
        });
        if let Some(first) = often.and_then(|tries| tries.first()) {
            let what = format!(
                "{node} sent {request} more than {MOST} times in {WITHIN:?} from {first:?}"
            );
            violations.push(Violation::new(INVARIANT, key, what));
        }
    }
    violations
}
