//! How sure an owner is that it still is one, when it answers without a commit.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use jido_core::{AgentId, Epoch};
use jido_storage::{AgentRecord, Error, ErrorKind, Storage};
use parking_lot::Mutex;

use crate::runtime;

/// How a reply is checked that no commit goes before: that of a message which changed
/// nothing. A commit checks by itself that its agent has no newer owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// It leaves only while the node's lease runs, by the node's own clock, counted
    /// from before the last renewal was sent. Costs no trip to storage. With
    /// [`Takeover::AfterLease`](crate::Takeover::AfterLease) such a reply is never
    /// stale, as long as clocks of two machines drift apart by less than a quarter;
    /// with [`OnDisconnect`](crate::Takeover::OnDisconnect) that of an owner which is cut
    /// off may be, until it notices that a session has ended: from then on, and until the
    /// other node is back or dead, replies are confirmed as with [`Strict`](Self::Strict).
    /// The default where storage is shared.
    Leased,
    /// Storage confirms, after the message was handled, that the agent has no newer
    /// owner: never stale, whatever clocks do, for one read of storage that the
    /// agents of a node share.
    Strict,
    /// It leaves at once. An owner that was cut off may answer from before. The default
    /// where storage isn't shared, and the only way where commits wait for hibernation.
    Local,
}

/// What storage says about an agent's owner.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The activation still owns the agent.
    Owner,
    /// Another has claimed it, or it was released.
    Lost,
    /// Storage could not be asked.
    Failed(Arc<Error>),
}

struct Question {
    id: AgentId,
    epoch: Epoch,
    then: Box<dyn FnOnce(Verdict) + Send>,
}

/// Asks storage whether activations still own their agents: one question at a time, for
/// all that came up while the last one was under way.
pub(crate) struct Confirmations {
    storage: Arc<dyn Storage>,
    /// Those that wait; none while nobody asks.
    waiting: Mutex<Option<Vec<Question>>>,
}

impl Confirmations {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self {
            storage,
            waiting: Mutex::new(None),
        })
    }

    /// Asks whether `epoch` is still an agent's, after this call, and hands on the answer.
    pub(crate) fn confirm(
        self: &Arc<Self>,
        id: AgentId,
        epoch: Epoch,
        then: impl FnOnce(Verdict) + Send + 'static,
    ) {
        let question = Question {
            id,
            epoch,
            then: Box::new(then),
        };
        let mut waiting = self.waiting.lock();
        match &mut *waiting {
            Some(waiting) => waiting.push(question),
            None => {
                *waiting = Some(vec![question]);
                runtime::spawn(self.clone().ask_all());
            }
        }
    }

    async fn ask_all(self: Arc<Self>) {
        loop {
            let questions = {
                let mut waiting = self.waiting.lock();
                match waiting.as_mut() {
                    Some(questions) if !questions.is_empty() => std::mem::take(questions),
                    _ => {
                        *waiting = None;
                        return;
                    }
                }
            };
            let ids: Vec<AgentId> = questions.iter().map(|asked| asked.id.clone()).collect();
            // The adapter is shared, and would go on with any other caller too.
            let heads = AssertUnwindSafe(self.storage.heads(&ids)).catch_unwind();
            let heads = heads.await.unwrap_or_else(|_told| {
                let why = "the storage panicked while it read who owns agents";
                Err(Error::new(ErrorKind::Unavailable, why))
            });
            match heads {
                Ok(heads) => {
                    let mut heads = heads.into_iter();
                    for asked in questions {
                        let head = heads.next().flatten();
                        (asked.then)(verdict(head.as_ref(), asked.epoch));
                    }
                }
                Err(error) => {
                    let error = Arc::new(error);
                    for asked in questions {
                        (asked.then)(Verdict::Failed(error.clone()));
                    }
                }
            }
        }
    }
}

fn verdict(head: Option<&AgentRecord>, epoch: Epoch) -> Verdict {
    match head {
        Some(head) if head.epoch == epoch && head.owner.is_some() => Verdict::Owner,
        _ => Verdict::Lost,
    }
}

impl fmt::Debug for Confirmations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmations")
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}
