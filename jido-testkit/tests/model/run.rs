//! Runs the checker and says what it did.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::protocol::Protocol;
use crate::rules::Rules;
use crate::steps::{Action, Event};

/// A counterexample: the property that fails, and the steps to where it does.
pub(crate) type Counterexample = (&'static str, Vec<Action>);

/// What a search found.
pub(crate) struct Found {
    pub(crate) counterexamples: Vec<Counterexample>,
    /// What happened in some state, in the order of `Event::ALL`.
    pub(crate) events: Vec<Event>,
}

/// Whether the larger bounds are asked for.
pub(crate) fn long() -> bool {
    std::env::var("JIDO_LONG").is_ok_and(|value| value == "1")
}

/// Goes through every state within the bounds, or, with a flaw, until a property
/// fails.
#[allow(clippy::disallowed_methods, reason = "says how long it took")]
pub(crate) fn search(rules: Rules) -> Found {
    let began = Instant::now();
    let builder = Protocol::new(rules).checker();
    // With a flaw on one thread, which finds a shortest counterexample.
    let builder = match rules.flaw {
        Some(_) => builder.finish_when(HasDiscoveries::AnyFailures),
        None => builder.threads(2),
    };
    let checker = builder.spawn_bfs().join();
    println!(
        "{} states, {} steps, at most {} deep, {:.1} s: {rules:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
    );
    let mut counterexamples: Vec<_> = checker
        .discoveries()
        .into_iter()
        .map(|(name, path)| (name, path.into_actions()))
        .collect();
    counterexamples.sort_by_key(|(_, actions)| actions.len());
    let events = Event::ALL.into_iter();
    Found {
        counterexamples,
        events: events
            .filter(|event| checker.model().has_met(*event))
            .collect(),
    }
}
