//! Agents that append one commit after the other, as activations do.

use std::sync::Arc;

use bytes::Bytes;
use jido_core::{Checkpoint, Epoch, NewEntry, RequestId, Revision, Seq, Timestamp};
use jido_storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, ErrorKind, RequestRecord, Storage,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use crate::fixture::{LIMIT, NODE, id};

/// Entries of each commit.
pub(super) const ENTRIES: u64 = 2;
/// Records of requests that an agent keeps.
pub(super) const KEPT: u64 = 20;

pub(super) fn key(agent: u64) -> String {
    format!("a{agent:03}")
}

pub(super) fn request_id(agent: u64, request: u64) -> RequestId {
    RequestId::new(u128::from(agent) + 1, request)
}

/// Bytes that tell where they belong, so that a torn or foreign record shows.
pub(super) fn content(agent: u64, request: u64, revision: u64, part: u64) -> Bytes {
    let word = format!("{request}|{agent}|{revision}|{part};");
    let len = 20 + (request * 7919 + part * 104_729) % 1_500;
    Bytes::from(word.repeat(len as usize / word.len() + 1))
}

/// The commit of a request: entries, a checkpoint and a reply.
fn commit(agent: u64, epoch: Epoch, expected: u64, request: u64) -> Commit {
    let revision = expected + 1;
    let at = Timestamp(revision);
    let mut commit = Commit::new(id(&key(agent)), epoch, Revision(expected), at);
    for part in 0..ENTRIES {
        let payload = content(agent, request, revision, part);
        commit
            .entries
            .push(NewEntry::new("noted", at, payload).unwrap());
    }
    commit.checkpoint = Some(Checkpoint {
        state: content(agent, request, revision, 100),
        covers: Seq(revision * ENTRIES),
    });
    commit.requests.push(RequestRecord {
        request: request_id(agent, request),
        issued_at: at,
        reply: content(agent, request, revision, 200),
    });
    if let Some(old) = request.checked_sub(KEPT) {
        commit.forget.push(request_id(agent, old));
    }
    commit
}

/// Tasks that append until they are told to end.
pub(crate) struct Load {
    tasks: Vec<JoinHandle<()>>,
    /// How many appends may be acknowledged before the others wait; none ends the load.
    bound: watch::Sender<Option<u64>>,
    ledger: Arc<Ledger>,
}

impl Load {
    pub(crate) fn start(storage: Arc<dyn Storage>, ledger: &Arc<Ledger>) -> Self {
        let bound = watch::Sender::new(Some(u64::MAX));
        let tasks = (0..ledger.agents()).map(|agent| {
            let work = Work {
                storage: storage.clone(),
                ledger: ledger.clone(),
                agent,
            };
            let bound = bound.subscribe();
            tokio::spawn(async move {
                if let Err(what) = work.run(bound).await {
                    work.ledger.is_wrong(format!("agent {agent}: {what}"));
                }
            })
        });
        Self {
            tasks: tasks.collect(),
            bound,
            ledger: ledger.clone(),
        }
    }

    pub(crate) fn let_through(&self, appends: u64) {
        let bound = self.ledger.acknowledged() + appends;
        self.bound.send_replace(Some(bound));
    }

    pub(crate) fn let_all_through(&self) {
        self.bound.send_replace(Some(u64::MAX));
    }

    /// Lets each agent end what it is about, so that no outcome is left open.
    pub(crate) async fn end(self) -> Result<(), String> {
        self.bound.send_replace(None);
        for task in self.tasks {
            let ended = tokio::time::timeout(LIMIT, task).await;
            ended
                .map_err(|_| format!("an append did not end in {LIMIT:?}"))?
                .map_err(|panic| panic.to_string())?;
        }
        self.ledger.wrong().map_or(Ok(()), Err)
    }
}

struct Work {
    storage: Arc<dyn Storage>,
    ledger: Arc<Ledger>,
    agent: u64,
}

impl Work {
    async fn run(&self, mut bound: watch::Receiver<Option<u64>>) -> Result<(), String> {
        let mut epoch = self.claim().await?;
        let mut revision = 0;
        for request in 1.. {
            let may =
                |bound: &Option<u64>| bound.is_none_or(|bound| self.ledger.acknowledged() < bound);
            // The load is over when its owner has gone, too.
            match bound.wait_for(may).await {
                Ok(bound) if bound.is_some() => {}
                _ => break,
            }
            let commit = commit(self.agent, epoch, revision, request);
            match self.storage.append(commit).await {
                AppendOutcome::Committed(now) => {
                    if now.0 != revision + 1 {
                        return Err(format!("revision {now} came after {revision}"));
                    }
                    self.ledger.acknowledge(self.agent, now.0, epoch, request);
                    revision = now.0;
                }
                AppendOutcome::Failed(error) if error.kind() == ErrorKind::Unavailable => {
                    self.ledger.refuse(self.agent, request);
                }
                AppendOutcome::Unknown(error) if error.kind() == ErrorKind::Unavailable => {
                    let old = epoch;
                    epoch = self.claim().await?;
                    if epoch <= old {
                        return Err(format!("epoch {epoch} came after {old}"));
                    }
                    let found = self.look_up(request).await?;
                    let there = match found.checked_sub(revision) {
                        Some(0) => None,
                        Some(1) => Some((found, old)),
                        _ => return Err(format!("revision {found} was found after {revision}")),
                    };
                    self.ledger.settle(self.agent, request, there);
                    revision = found;
                }
                other => return Err(format!("an append at revision {revision} ended {other:?}")),
            }
        }
        Ok(())
    }

    /// Claims until the server is there again: that settles what is unknown.
    async fn claim(&self) -> Result<Epoch, String> {
        let claim = ClaimRequest {
            id: id(&key(self.agent)),
            claimant: NODE,
            take_from: None,
            at: Timestamp(1),
        };
        let claimed = async {
            loop {
                match self.storage.claim(claim.clone()).await {
                    Ok(ClaimOutcome::Claimed(epoch)) => return Ok(epoch),
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    other => return Err(format!("a claim ended {other:?}")),
                }
            }
        };
        let claimed = tokio::time::timeout(LIMIT, claimed).await;
        claimed.unwrap_or_else(|_| Err(format!("no claim in {LIMIT:?}")))
    }

    /// The agent's revision, once it and the record of a request tell the same.
    async fn look_up(&self, request: u64) -> Result<u64, String> {
        let agent = id(&key(self.agent));
        let looked = async {
            loop {
                let head = self.storage.head(&agent).await;
                let request = request_id(self.agent, request);
                let reply = self.storage.reply_of(&agent, request).await;
                match (head, reply) {
                    (Ok(Some(head)), Ok(Some(kept))) if kept.revision == head.revision => {
                        return Ok((head.revision.0, true));
                    }
                    (Ok(Some(head)), Ok(None)) => return Ok((head.revision.0, false)),
                    (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::Unavailable => {
                    }
                    other => return Err(format!("after a claim there is {other:?}")),
                }
            }
        };
        let looked = tokio::time::timeout(LIMIT, looked).await;
        let (revision, recorded) =
            looked.unwrap_or_else(|_| Err(format!("no answer in {LIMIT:?}")))?;
        let known = self.ledger.known(self.agent);
        let last = known.there.last_key_value().map_or(0, |(last, _)| *last);
        if recorded == (revision > last) {
            Ok(revision)
        } else {
            Err(format!(
                "revision {revision} was found after {last} was acknowledged, and of the request \
                 under way a record: {recorded}"
            ))
        }
    }
}
