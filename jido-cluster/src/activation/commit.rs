//! How an activation commits, and what it does with each outcome. Modelled in
//! `jido-testkit/tests/model/commits.rs`.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use jido_core::{Agent, Checkpoint, Checkpoints, Epoch, Revision, Seq};
use jido_storage::{AppendOutcome, Commit, is_planted};
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::ActivationMessage;
use super::pipeline::Plan;
use super::running::{Failed, Running};
use super::start;
use crate::delivery::Refusal;
use crate::error::{Error, ErrorKind};
use crate::runtime;

/// How often an unknown outcome is asked after before the activation gives up and
/// leaves it to the next one, and the pause in between.
const SETTLE_TRIES: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

impl<A: Agent> Running<A> {
    /// Starts the next commit, if it is time for one.
    pub(super) fn commit_if_due(&mut self, myself: &ActorRef<ActivationMessage<A>>) {
        // So that there is room for what messages leave behind while it is in flight.
        let room = self.router.settings().max_commit_bytes / 4;
        if let Some(plan) = self.pipeline.next(room) {
            let myself = myself.clone();
            self.start_commit(plan, move || {
                // An activation that has ended asks for the outcome itself.
                let _ = myself.send_message(ActivationMessage::CommitEnded);
            });
        }
    }

    /// Commits in a task of its own, which no time-out can drop half-way.
    fn start_commit(&mut self, plan: Plan, ended: impl FnOnce() + Send + 'static) {
        let commit = self.commit(Some(plan));
        let append = self.append();
        let (done, outcome) = oneshot::channel();
        self.in_flight = Some(outcome);
        runtime::spawn(async move {
            // Whoever waits for its end is told of it also where the adapter panics.
            let append = AssertUnwindSafe(append.run(commit)).catch_unwind();
            let append = append.map(|ended| ended.unwrap_or_else(|_told| panicked()));
            let outcome = if is_planted!(CommitDroppedOnTimeOut) {
                let in_time = tokio::time::timeout(Duration::from_millis(300), append).await;
                in_time.unwrap_or_else(|_| AppendOutcome::Failed(too_slow()))
            } else {
                append.await
            };
            if done.send(outcome).is_ok() {
                ended();
            }
        });
    }

    fn commit(&mut self, plan: Option<Plan>) -> Commit {
        let at = self.router.core().environment.wall();
        let mut commit = Commit::new(self.id.clone(), self.epoch, self.revision, at);
        if let Some(plan) = plan {
            self.own.timers.start_commit();
            self.appending = plan.entries.len() as u64;
            // Entries and state are committed together, so that the state covers
            // the whole thread as it is then.
            let covers = Seq(self.thread_len.0 + self.appending);
            let is_due = match A::CHECKPOINTS {
                Checkpoints::EveryCommit => true,
                Checkpoints::Every(entries) => covers.0 - self.covered.0 >= entries,
                Checkpoints::Never => false,
            };
            self.covering = is_due.then_some(covers);
            commit.checkpoint = self.covering.map(|covers| Checkpoint {
                state: plan.state,
                covers,
            });
            if is_planted!(OldCheckpointRestored)
                && !plan.entries.is_empty()
                && self.revision.0 % 2 == 1
            {
                commit.checkpoint = None;
            }
            commit.entries = plan.entries;
            if let Some(window) = &self.window {
                self.forgetting = window.forgotten(&plan.requests, at);
                commit.forget.clone_from(&self.forgetting.ids);
                commit.forget_before = self.forgetting.floor;
            }
            commit.requests = plan.requests;
            commit.reminders = plan.reminders.map(|listing| listing.stored());
            // What nobody asked for is what reminders have done.
            if is_planted!(OccurrenceNotCommitted) && commit.requests.is_empty() {
                commit.reminders = None;
            }
        }
        commit
    }

    /// The commit in flight has ended: sends the replies that waited for it, or
    /// undoes what was built on it. An error ends the activation.
    pub(super) async fn commit_ended(&mut self) -> Result<(), Refusal> {
        let Some(outcome) = self.in_flight.take() else {
            return Ok(());
        };
        match outcome.await {
            Ok(outcome) => self.settle(outcome).await,
            // The task was aborted: the runtime is shutting down.
            Err(_) => self.settle_unknown("the commit was aborted").await,
        }
    }

    async fn settle(&mut self, outcome: AppendOutcome) -> Result<(), Refusal> {
        let outcome = match outcome {
            AppendOutcome::Unknown(error) if is_planted!(UnknownTakenAsFailed) => {
                AppendOutcome::Failed(error)
            }
            outcome => outcome,
        };
        match outcome {
            AppendOutcome::Committed(revision) => {
                self.committed(revision);
                Ok(())
            }
            AppendOutcome::Failed(error) => {
                tracing::warn!(agent = %self.id, %error, "a commit failed");
                let error = Error::from(error);
                let refusal = match error.kind() {
                    // To try again at once would only add to what waits.
                    ErrorKind::Overloaded => Refusal::Overloaded,
                    _ if error.is_retryable() => Refusal::unsettled(error.to_string()),
                    kind => Refusal::Broken(kind, error.to_string().into()),
                };
                self.not_applied(refusal)
            }
            AppendOutcome::Fenced { epoch } => {
                tracing::info!(agent = %self.id, mine = %self.epoch, %epoch, "an activation was fenced");
                self.router.settings().metrics.fenced();
                let refusal = Refusal::NotOwner { hint: None };
                let undone = self.pipeline.undo();
                Self::undone(undone, &refusal);
                Err(refusal)
            }
            AppendOutcome::Conflict { actual } => {
                // Nobody but this activation commits under its epoch: storage is
                // not what it was. Whatever it is now, the next activation loads it.
                tracing::error!(
                    agent = %self.id, epoch = %self.epoch, expected = %self.revision, %actual,
                    "storage has another revision than the only writer"
                );
                let undone = self.pipeline.undo();
                Self::undone(undone, &Refusal::Stopped);
                Err(Refusal::Stopped)
            }
            AppendOutcome::Unknown(error) => {
                tracing::warn!(agent = %self.id, %error, "a commit's outcome is unknown");
                self.settle_unknown(&error.to_string()).await
            }
        }
    }

    /// Asks storage whether the agent has a newer owner, and tells whether that was answered.
    pub(super) fn confirm(&self, done: oneshot::Sender<bool>) {
        self.router
            .confirm_epoch(self.id.key.clone(), self.epoch, done);
    }

    /// Storage says that the agent has a newer owner than `epoch`: ends an activation
    /// that still holds that one, as a fenced commit would.
    pub(super) async fn lost(&mut self, epoch: Epoch) -> Result<(), Refusal> {
        if self.epoch != epoch {
            return Ok(());
        }
        self.commit_ended().await?;
        self.settle(AppendOutcome::Fenced { epoch }).await
    }

    /// Goes on from the last committed state, unless the agent would then run without
    /// having started: the next activation starts it anew.
    fn go_on(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        if self.starting {
            return Err(refusal);
        }
        self.restore();
        self.undo_own();
        self.unreadable.as_deref().cloned().map_or(Ok(()), Err)
    }

    fn committed(&mut self, revision: Revision) {
        self.revision = revision;
        self.starting = false;
        self.thread_len = Seq(self.thread_len.0 + std::mem::take(&mut self.appending));
        self.covered = self.covering.take().unwrap_or(self.covered);
        let forgotten = std::mem::take(&mut self.forgetting);
        if let Some(window) = &mut self.window {
            window.committed(self.pipeline.applied(), &forgotten);
        }
        for held in self.pipeline.committed() {
            self.answer(held);
        }
        self.own.timers.committed(self.pipeline.is_dirty());
        self.own.retries.committed();
    }

    /// Finds out whether a commit took effect. A new epoch waits out, or kills, the
    /// write in flight; then the revision tells, as long as nobody else held the
    /// agent in between.
    async fn settle_unknown(&mut self, why: &str) -> Result<(), Refusal> {
        let mut refusal = Refusal::unsettled(why);
        let mut alone = true;
        for attempt in 0..SETTLE_TRIES {
            if attempt > 0 {
                tokio::time::sleep(SETTLE_PAUSE).await;
            }
            match self.reclaim(&mut alone).await {
                Ok(found) if found == self.revision => {
                    let refusal = Refusal::unsettled("the commit did not take effect");
                    return self.not_applied(refusal);
                }
                // Epochs grow by one a claim: with none missing, only this
                // activation can have made the one commit.
                Ok(found) if alone && found == self.revision.next() => {
                    self.committed(found);
                    return Ok(());
                }
                Ok(_) => {
                    refusal = Refusal::Stopped;
                    break;
                }
                Err(Refusal::Unsettled(why)) => refusal = Refusal::Unsettled(why),
                Err(lost) => {
                    refusal = lost;
                    break;
                }
            }
        }
        let undone = self.pipeline.undo();
        Self::unresolved(undone, why);
        Err(refusal)
    }

    /// Claims the agent anew and reads its revision. `alone` becomes false when
    /// another has claimed it since.
    async fn reclaim(&mut self, alone: &mut bool) -> Result<Revision, Refusal> {
        let epoch = start::claim(&self.router, &self.id).await?;
        *alone &= epoch == self.epoch.next();
        self.epoch = epoch;
        let loaded = start::load(&self.router, &self.id, epoch).await?;
        Ok(loaded.record.revision)
    }

    /// The commit in flight is known not to have taken effect, now or ever.
    fn not_applied(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        if self.pipeline.keeps() {
            // What was acknowledged is still here, and waits for the next try.
            self.pipeline.put_back();
            self.own.timers.put_back();
            return Ok(());
        }
        let undone = self.pipeline.undo();
        Self::undone(undone, &refusal);
        self.go_on(refusal)
    }

    /// Commits all that is not yet durable: the commit in flight, then what was collected
    /// meanwhile. What can't be written and was acknowledged waits for the next try.
    pub(super) async fn flush(&mut self) -> Result<(), Refusal> {
        self.commit_ended().await?;
        if let Some(plan) = self.pipeline.all() {
            self.start_commit(plan, || {});
            self.commit_ended().await?;
        }
        Ok(())
    }

    /// The same for who can't wait for the next try: storage is asked a few times.
    pub(super) async fn write_all(&mut self) -> Result<(), Refusal> {
        for _ in 0..SETTLE_TRIES {
            self.flush().await?;
            if !self.pipeline.is_dirty() {
                return Ok(());
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        tracing::error!(agent = %self.id, "what an agent has acknowledged could not be written");
        Ok(())
    }

    /// Commits what is left and gives the claim back, in one transaction.
    pub(super) async fn hibernate(&mut self) -> Result<(), Failed> {
        self.commit_ended().await.map_err(Failed::Lost)?;
        self.stopping().await;
        let plan = self.pipeline.all();
        let carries_state = plan.is_some();
        let release = Commit {
            release: true,
            ..self.commit(plan)
        };
        match self.append().run(release).await {
            // Nothing was written, and the state is still here: the agent goes on.
            AppendOutcome::Failed(error) if carries_state => {
                tracing::warn!(agent = %self.id, %error, "an agent could not hibernate");
                self.pipeline.put_back();
                self.own.timers.put_back();
                return Err(Failed::Undone(Refusal::unsettled(error.to_string())));
            }
            // Nothing but the claim is left behind, which this node may take again.
            AppendOutcome::Failed(error) => {
                tracing::warn!(agent = %self.id, %error, "a claim was not given back");
            }
            outcome => self.settle(outcome).await.map_err(Failed::Lost)?,
        }
        if self.pipeline.is_dirty() {
            return Err(Failed::Undone(Refusal::unsettled(
                "the state could not be written yet",
            )));
        }
        Ok(())
    }

    /// Deletes the agent with all its records.
    pub(super) async fn delete(&mut self) -> Result<(), Failed> {
        self.flush().await.map_err(Failed::Lost)?;
        let at = self.router.core().environment.wall();
        match self
            .router
            .settings()
            .storage
            .delete(&self.id, self.epoch, at)
            .await
        {
            AppendOutcome::Committed(_) => Ok(()),
            _ if is_planted!(DeletionTakenAsDone) => Ok(()),
            AppendOutcome::Failed(error) => {
                Err(Failed::Undone(Refusal::unsettled(error.to_string())))
            }
            AppendOutcome::Unknown(error) => {
                Err(Failed::Lost(Refusal::unsettled(error.to_string())))
            }
            AppendOutcome::Fenced { .. } | AppendOutcome::Conflict { .. } => {
                Err(Failed::Lost(Refusal::NotOwner { hint: None }))
            }
        }
    }
}

/// What the bug of a dropped commit makes of it.
fn too_slow() -> jido_storage::Error {
    let kind = jido_storage::ErrorKind::Unavailable;
    jido_storage::Error::new(kind, "the commit took too long")
}

fn panicked() -> AppendOutcome {
    let kind = jido_storage::ErrorKind::Unavailable;
    let why = "the storage panicked within a commit";
    AppendOutcome::Unknown(jido_storage::Error::new(kind, why))
}
