//! How an activation comes to run: claim, then load. Modelled in
//! `jido-testkit/tests/model/agents.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jido_core::{Agent, AgentId, Epoch, Revision, decode_state};
use jido_storage::{ClaimOutcome, ClaimRequest, Commit, Loaded, is_planted};
use ractor::ActorCell;

use super::Start;
use super::hooks::panic_text;
use super::replay;
use super::running::Running;
use crate::delivery::Refusal;
use crate::error::Error;
use crate::local::Parked;
use crate::reminders::Listing;
use crate::router::Router;
use crate::telemetry::{Activated, Text};

/// How long members that don't share the storage are given to say whether they run
/// an agent.
const ASK_AROUND: Duration = Duration::from_secs(1);

/// Makes the agent ready to run.
pub(super) async fn start<A: Agent>(start: &mut Start<A>) -> Result<Running<A>, Refusal> {
    // Taken, so that neither is kept while the agent runs.
    let (parked, cause) = (start.parked.take(), std::mem::take(&mut start.cause));
    let core = start.router.core();
    let began = core.deadlines.now();
    let trace = cause.activate(start.router.whose(start.key.as_str()));
    let (ready, how) = match parked {
        Some(parked) => {
            let ready = trace.within(Box::pin(resume(start, &parked))).await;
            (ready, Activated::Resumed)
        }
        None => {
            let ready = trace.within(Box::pin(claim_and_load(start))).await;
            (ready, Activated::Claimed)
        }
    };
    let how = ready.as_ref().map_or(Activated::Refused, |_| how);
    start
        .router
        .settings()
        .metrics
        .activated(how, core.since(began));
    trace.ended(how.text());
    ready
}

/// Claims the agent, loads it, and makes it ready to run.
async fn claim_and_load<A: Agent>(start: &Start<A>) -> Result<Running<A>, Refusal> {
    let router = &start.router;
    let id = router.agent_id(&start.key);
    // Bounded, so that a thousand agents that wake at once don't stampede storage.
    let permit = router
        .activations()
        .acquire()
        .await
        .map_err(|_| Refusal::Stopped)?;
    // One that doesn't answer in time is taken not to run it.
    let apart = router.runs_apart(&start.key, ASK_AROUND).await;
    let apart = apart.map_err(|error| Refusal::unsettled(error.to_string()))?;
    if let Some(hint) = apart.node {
        return Err(Refusal::NotOwner { hint: Some(hint) });
    }
    let early = if is_planted!(ClaimAndLoadInOneStep) {
        let loaded = router.settings().storage.load(&id).await;
        loaded.map_err(refusal_of)?
    } else {
        None
    };
    let epoch = claim(router, &id).await?;
    let loaded = match early {
        Some(mut early) => {
            early.record.epoch = epoch;
            early
        }
        None => load(router, &id, epoch).await?,
    };
    let made = match make_agent(start, &id, &loaded) {
        Ok(agent) => replay::unfold(router, agent, &loaded).await?,
        Err(error) => Err(error),
    };
    let made = made.and_then(|made| Ok((made, Listing::read(&loaded.reminders)?)));
    let made = match made {
        Ok((made, list)) if is_planted!(MissedDroppedAtTakeover) => {
            let now = router.core().environment.wall();
            list.without_due(now).map(|list| (made, list))
        }
        made => made,
    };
    match made {
        Ok(((agent, state), reminders)) => {
            let mut running = Running::loaded(start, agent, state, reminders, &loaded);
            // What it does by itself may need others to start, or take long.
            drop(permit);
            if let Err(error) = running.started().await {
                tracing::warn!(agent = %id, %error, "an agent did not start");
                give_back(router, id, epoch, loaded.record.revision).await;
                return Err(Refusal::Broken(error.kind(), error.to_string().into()));
            }
            Ok(running)
        }
        Err(error) => {
            tracing::error!(agent = %id, %error, "an agent can't be read");
            give_back(router, id, epoch, loaded.record.revision).await;
            Err(Refusal::Broken(error.kind(), error.to_string().into()))
        }
    }
}

/// Makes a parked agent ready to run again, under the claim that it has.
async fn resume<A: Agent>(start: &Start<A>, parked: &Parked) -> Result<Running<A>, Refusal> {
    let router = &start.router;
    let id = router.agent_id(&start.key);
    let agent = decode_state(&parked.state).map_err(Error::from);
    match agent.and_then(|agent| prepared(router, start.me.as_ref(), &id, Some(agent))) {
        Ok(agent) => Ok(Running::resumed(start, id, agent, parked)),
        // The same code has written it.
        Err(error) => {
            tracing::error!(agent = %id, %error, "a parked agent can't be read");
            give_back(router, id, parked.epoch, parked.revision).await;
            Err(Refusal::Broken(error.kind(), error.to_string().into()))
        }
    }
}

/// Claims the agent for this node.
pub(super) async fn claim<A: Agent>(router: &Router<A>, id: &AgentId) -> Result<Epoch, Refusal> {
    let core = router.core();
    let storage = &router.settings().storage;
    let mut take_from = None;
    // A claim is made again at most once: with leave to take the agent from the
    // life that holds it.
    loop {
        let request = ClaimRequest {
            id: id.clone(),
            claimant: core.incarnation,
            take_from,
            at: core.environment.wall(),
        };
        match storage.claim(request).await.map_err(refusal_of)? {
            ClaimOutcome::Claimed(epoch) => {
                if let Some(owner) = take_from {
                    core.exchange.took_over(owner);
                }
                return Ok(epoch);
            }
            ClaimOutcome::Held { owner, .. }
                if take_from.is_none()
                    && router.takes_over_on_disconnect()
                    && core.members.is_gone(owner) =>
            {
                take_from = Some(owner);
            }
            // Where there is no session with it, another node may have one.
            ClaimOutcome::Held { owner, .. } => {
                return Err(Refusal::NotOwner { hint: Some(owner) });
            }
            ClaimOutcome::ClaimantDead => {
                return Err(Refusal::unsettled(
                    "this node may not own agents: it was declared dead",
                ));
            }
        }
    }
}

/// Loads the agent that was claimed under `epoch`. A second step, so that no entry
/// is missed that committed while the claim waited.
pub(super) async fn load<A: Agent>(
    router: &Router<A>,
    id: &AgentId,
    epoch: Epoch,
) -> Result<Loaded, Refusal> {
    match router
        .settings()
        .storage
        .load(id)
        .await
        .map_err(refusal_of)?
    {
        Some(loaded) if loaded.record.epoch == epoch => Ok(loaded),
        _ => Err(Refusal::NotOwner { hint: None }),
    }
}

/// The agent as its checkpoint has it, or a fresh one.
fn make_agent<A: Agent>(start: &Start<A>, id: &AgentId, loaded: &Loaded) -> Result<A, Error> {
    let checkpoint = loaded.checkpoint.as_ref();
    let stored = checkpoint.map(|one| decode_state(&one.state)).transpose()?;
    prepared(&start.router, start.me.as_ref(), id, stored)
}

/// An agent, a fresh one if there is none, as the manager's user has it prepared.
pub(super) fn prepared<A: Agent>(
    router: &Router<A>,
    me: Option<&ActorCell>,
    id: &AgentId,
    agent: Option<A>,
) -> Result<A, Error> {
    let settings = router.settings();
    let prepare = AssertUnwindSafe(|| {
        let mut agent = agent.unwrap_or_else(|| (settings.initial)(&id.key));
        (settings.prepare)(&mut agent, &id.key);
        agent
    });
    catch_unwind(prepare).map_err(|panic| {
        let text = panic_text(panic.as_ref());
        let why = format!("what makes or prepares agents panicked: {text}");
        router.panicked(me, id, why)
    })
}

async fn give_back<A: Agent>(router: &Router<A>, id: AgentId, epoch: Epoch, revision: Revision) {
    let at = router.core().environment.wall();
    let release = Commit {
        release: true,
        ..Commit::new(id, epoch, revision, at)
    };
    let outcome = router.settings().storage.append(release).await;
    tracing::debug!(?outcome, "gave a claim back");
}

/// A claim or load that failed, for those who wait: what can pass by itself is
/// tried again, what can't is said as it is.
pub(super) fn refusal_of(error: jido_storage::Error) -> Refusal {
    let error = Error::from(error);
    tracing::warn!(%error, "storage failed while an agent was claimed or loaded");
    if error.is_retryable() {
        Refusal::unsettled(error.to_string())
    } else {
        Refusal::Broken(error.kind(), error.to_string().into())
    }
}
