//! Agents that run come to the nodes that they are placed on.

use std::time::Duration;

use super::Violation;

const INVARIANT: &str = "every agent that runs comes to its placed node within a bound";

/// How long an agent took to come to its node, once nodes neither came nor went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The agent's key.
    pub key: String,
    /// How long; none if it never did for as long as it was waited for.
    pub took: Option<Duration>,
    /// What was told of it last.
    pub last: String,
}

/// Checks what was told of all agents.
pub fn check(settled: &[Settled], bound: Duration) -> Vec<Violation> {
    let late = settled
        .iter()
        .filter(|one| one.took.is_none_or(|took| took > bound));
    late.map(|one| {
        let what = match one.took {
            Some(took) => format!("it took {took:?}, the bound is {bound:?}: {}", one.last),
            None => format!("it never did: {}", one.last),
        };
        Violation::new(INVARIANT, &one.key, what)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_late_or_never_is_found() {
        let of = |took: Option<u64>| Settled {
            key: "a".to_owned(),
            took: took.map(Duration::from_secs),
            last: "there".to_owned(),
        };
        let bound = Duration::from_secs(5);
        assert_eq!(check(&[of(Some(0)), of(Some(5))], bound), []);
        let found = check(&[of(Some(1)), of(Some(6)), of(None)], bound);
        assert_eq!(found.len(), 2);
        assert!(found[0].to_string().contains("it took 6s"), "{}", found[0]);
        assert!(
            found[1].to_string().contains("it never did"),
            "{}",
            found[1]
        );
    }
}
