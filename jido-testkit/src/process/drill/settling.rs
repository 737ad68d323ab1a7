//! Where agents run, and moving them to where they are placed.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};

use super::measured::Moves;
use crate::process::{DemoClient, OwnerReply, Rebalanced};
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// How many questions are under way at a time.
const AT_ONCE: usize = 16;

/// How long one round of moves is waited for: longer than a node itself waits.
const ROUND: Duration = Duration::from_secs(35);

/// The pause before it is looked again.
const PAUSE: Duration = Duration::from_millis(20);

/// The owner of every agent, by key.
pub(super) type Owners = BTreeMap<String, String>;

/// The nodes that are asked, and the agents that it is about.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) nodes: Vec<DemoClient>,
    pub(super) keys: &'a [String],
}

impl Ground<'_> {
    /// What a node says of every agent.
    async fn told_by(&self, node: &DemoClient) -> Result<Vec<OwnerReply>, Error> {
        let questions = self.keys.iter().map(|key| node.owner(key));
        futures_util::stream::iter(questions)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// The owner of every agent of which all nodes name the same.
    pub(super) async fn agreed(&self) -> Result<Owners, Error> {
        let mut agreed: Option<Owners> = None;
        for node in &self.nodes {
            let told = self.told_by(node).await?;
            let mut told: Owners = told.into_iter().map(|one| (one.key, one.owner)).collect();
            if let Some(agreed) = agreed {
                told.retain(|key, owner| agreed.get(key) == Some(owner));
            }
            agreed = Some(told);
        }
        Ok(agreed.unwrap_or_default())
    }

    /// The owner of every agent, if each runs where all nodes place it.
    async fn placed(&self) -> Result<Option<Owners>, Error> {
        let mut placed: Option<Owners> = None;
        for node in &self.nodes {
            let mut here = Owners::new();
            for told in self.told_by(node).await? {
                if told.placed.as_ref() != Some(&told.owner) {
                    return Ok(None);
                }
                here.insert(told.key, told.owner);
            }
            if placed.as_ref().is_some_and(|others| *others != here) {
                return Ok(None);
            }
            placed = Some(here);
        }
        Ok(placed)
    }

    /// Has agents moved until each runs where all nodes place it, and that is `home` if
    /// it is given. Gives their owners, or none when the time ran out before.
    pub(super) async fn settle(
        &self,
        home: Option<&Owners>,
        within: Duration,
        moves: &mut Moves,
    ) -> Result<Option<Owners>, Error> {
        let deadline = now() + within;
        let Some(first) = self.nodes.first() else {
            return Err(Error::new(ErrorKind::NoSuchNode, "there are no nodes"));
        };
        let leader = first.with_timeout(ROUND);
        loop {
            let owners = or_again(self.placed().await)?.flatten();
            if let Some(owners) = owners
                && home.is_none_or(|home| owners == *home)
            {
                return Ok(Some(owners));
            }
            if now() > deadline {
                return Ok(None);
            }
            if let Some(done) = or_again(leader.rebalance().await)? {
                count(moves, &done);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An answer, asked for again for so long while that is worth it; else the last error.
pub(super) async fn insist<T, F>(within: Duration, mut ask: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = now() + within;
    loop {
        match ask().await {
            Err(error) if error.is_retryable() && now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// An answer; none where it is worth asking again.
fn or_again<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_retryable() => Ok(None),
        Err(error) => Err(error),
    }
}

fn count(moves: &mut Moves, done: &Rebalanced) {
    let started = done.succeeded + done.failed + done.skipped;
    moves.started += started;
    moves.succeeded += done.succeeded;
    moves.failed += done.failed;
    moves.skipped += done.skipped;
    moves.rounds += u64::from(started > 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers at the third time, unless it is asked for something else.
    async fn asked(within: Duration, kind: ErrorKind) -> (u32, Result<u32, ErrorKind>) {
        let mut count = 0;
        let answer = insist(within, || {
            count += 1;
            let answer = match count {
                3 => Ok(count),
                _ => Err(Error::new(kind, "not now")),
            };
            std::future::ready(answer)
        });
        let answer = answer.await.map_err(|error| error.kind());
        (count, answer)
    }

    #[tokio::test]
    async fn what_may_pass_is_asked_again_until_the_time_runs_out() {
        let long = Duration::from_secs(600);
        assert_eq!(asked(long, ErrorKind::Unreachable).await, (3, Ok(3)));
        assert_eq!(
            asked(Duration::ZERO, ErrorKind::Unreachable).await,
            (1, Err(ErrorKind::Unreachable))
        );
        assert_eq!(
            asked(long, ErrorKind::Protocol).await,
            (1, Err(ErrorKind::Protocol))
        );
    }
}
