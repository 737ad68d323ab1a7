//! What holds in every state.

use stateright::Property;

use crate::protocol::Protocol;
use crate::state::{Breach, State};

pub(crate) const ONE_WRITER: &str = "at most one writer a revision";
pub(crate) const EPOCHS_GROW: &str = "epochs only grow";
pub(crate) const NOTHING_LOST: &str = "no acknowledged effect is lost";
pub(crate) const AT_MOST_ONCE: &str = "no request is applied twice";
pub(crate) const ANSWERED_ALIKE: &str = "a retry is answered like the request";
pub(crate) const AFTER_COMMIT: &str = "a reply leaves after the commit of what it shows";
pub(crate) const NEVER_STALE: &str = "a leased read is never stale";
pub(crate) const DENIED_STAYS: &str = "what was said not to be executed never is";

pub(crate) fn all(_: &Protocol) -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_WRITER, |_, s: &State| !s.broke(Breach::SecondWriter)),
        Property::always(EPOCHS_GROW, |_, s: &State| !s.broke(Breach::EpochFell)),
        Property::always(NOTHING_LOST, nothing_lost),
        Property::always(AT_MOST_ONCE, at_most_once),
        Property::always(ANSWERED_ALIKE, |_, s: &State| {
            !s.broke(Breach::AnsweredApart)
        }),
        Property::always(AFTER_COMMIT, |_, s: &State| {
            !s.broke(Breach::ReplyBeforeCommit)
        }),
        Property::always(NEVER_STALE, |_, s: &State| !s.broke(Breach::StaleRead)),
        Property::always(DENIED_STAYS, |_, s: &State| {
            !s.broke(Breach::DeniedThenMade)
        }),
    ]
}

/// What was answered is in storage, in the place that the reply told.
fn nothing_lost(protocol: &Protocol, state: &State) -> bool {
    (0..protocol.rules.bounds.requests as u8).all(|request| {
        let reply = state.acknowledged.get(request);
        let stored = state.store.agents[protocol.key_of(request)].state;
        reply == 0 || stored.iter().nth(usize::from(reply) - 1) == Some(request)
    })
}

fn at_most_once(protocol: &Protocol, state: &State) -> bool {
    let agents = &state.store.agents[..protocol.rules.bounds.keys];
    agents.iter().all(|agent| {
        let mut seen = 0_u8;
        agent.state.iter().all(|request| {
            let bit = 1 << request;
            let new = seen & bit == 0;
            seen |= bit;
            new
        })
    })
}
