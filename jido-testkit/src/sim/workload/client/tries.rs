//! One try of a request, and other things that a client asks a node for.

use std::time::Duration;

use futures_util::future::join;
use jido_cluster::{ErrorKind, Executed, RequestId, Timestamp};
use uuid::Uuid;

use super::Worker;
use crate::check::deletions::Deletion;
use crate::history::{Action, Answer, By, Outcome};
use crate::sim::environment;
use crate::sim::workload::ledger::{LedgerMessage, Worked};
use crate::sim::workload::plan::{self, Doubt, Task};

/// An operation on its way, the same for every try.
#[derive(Clone)]
pub(in crate::sim::workload) struct Sending {
    pub(super) id: u64,
    pub(super) place: usize,
    pub(super) action: Action,
    patience: Duration,
    takes: u16,
    /// The client's own identity of the request; else the node gives it one, another for
    /// every try.
    pub(super) name: Option<Name>,
}

/// An identity of a request.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) id: RequestId,
    /// When it was made, where the identity does not tell.
    made: Option<Timestamp>,
}

/// How a try ended.
pub(super) enum Tried {
    Answered(Answer),
    /// It was not executed, and can be tried again.
    NotYet,
    /// It was not executed, and never will be.
    Never,
    /// It may have been executed.
    Maybe,
    /// The agent doesn't know any more whether it was.
    Forgotten,
}

impl Name {
    /// Every second one is a UUID of version 7, which tells when it was made.
    fn new(client: u64, id: u64, now: Duration) -> Self {
        let made = environment::START + now.as_millis() as u64;
        if id % 8 < 4 {
            return Self {
                id: RequestId::new(u128::from(client), id),
                made: Some(Timestamp(made)),
            };
        }
        let (version, variant) = (7 << 76, 0b10 << 62);
        let rest = u128::from(client & 0x3fff) << 48 | u128::from(id & 0xffff_ffff_ffff);
        let uuid = u128::from(made) << 80 | version | variant | rest;
        Self {
            id: RequestId::from_uuid(Uuid::from_u128(uuid)),
            made: None,
        }
    }
}

impl<A: Worked> Worker<A> {
    pub(super) fn sending(&self, id: u64, place: usize, action: Action, task: &Task) -> Sending {
        let now = self.cluster.world().now();
        Sending {
            id,
            place,
            action,
            patience: Duration::from_millis(task.patience),
            takes: task.takes,
            name: task.named.then(|| Name::new(self.number, id, now)),
        }
    }

    /// One try, at a node.
    pub(super) async fn try_once(&self, home: usize, sending: &Sending) -> Tried {
        let (tried, why) = self.attempt(home, sending).await;
        let world = self.cluster.world();
        let (me, id) = (self.number, sending.id);
        let how = match &tried {
            Tried::Answered(answer) => format!("{answer:?}"),
            Tried::NotYet => "not yet".to_owned(),
            Tried::Never => "never".to_owned(),
            Tried::Maybe => "maybe".to_owned(),
            Tried::Forgotten => {
                world.count("request too old for its agent");
                "forgotten".to_owned()
            }
        };
        world.note(format_args!(
            "cli {me} {id} at {}: {how} {why}",
            plan::node(home)
        ));
        tried
    }

    async fn attempt(&self, home: usize, sending: &Sending) -> (Tried, String) {
        let Some(client) = self.cluster.client(&plan::node(home)) else {
            return (Tried::NotYet, "down".to_owned());
        };
        let Sending {
            id,
            place,
            action,
            patience,
            takes,
            name,
        } = sending.clone();
        let message = LedgerMessage {
            id,
            action,
            kept: plan::kept(place),
            takes,
            own: false,
        };
        let asked = client
            .ask(|handle| async move {
                let key = plan::key(place);
                let mut request = handle.request(&key, message).timeout(patience);
                if let Some(Name { id, made }) = name {
                    request = request.id(id);
                    if let Some(made) = made {
                        request = request.issued_at(made);
                    }
                }
                request.send().await
            })
            .await;
        match asked {
            None => (Tried::Maybe, "gone".to_owned()),
            Some(Ok(reply)) => {
                let answer = Answer {
                    value: reply.value.value,
                    done: reply.value.done,
                    by: Some(By {
                        epoch: reply.epoch.0,
                        revision: reply.revision.0,
                    }),
                };
                (Tried::Answered(answer), reply.owner.to_string())
            }
            Some(Err(error)) => {
                let tried = match error.executed() {
                    executed if error.kind() == ErrorKind::Expired && executed != Executed::No => {
                        Tried::Forgotten
                    }
                    Executed::No if error.is_retryable() => Tried::NotYet,
                    Executed::No => Tried::Never,
                    _ => Tried::Maybe,
                };
                (tried, format!("{:?} {error}", error.kind()))
            }
        }
    }

    /// Two tries at once, at two nodes: a request that the network has doubled. Gives what
    /// came of it, and what the second try was answered if the first one was answered too.
    pub(super) async fn try_twice(&self, sending: &Sending) -> (Tried, Option<Answer>) {
        self.cluster.world().count("request sent twice at once");
        let other = (self.home + 1) % self.nodes;
        let (one, two) = join(
            Box::pin(self.try_once(self.home, sending)),
            Box::pin(self.try_once(other, sending)),
        )
        .await;
        match (one, two) {
            (Tried::Answered(answer), Tried::Answered(again)) => {
                (Tried::Answered(answer), Some(again))
            }
            (answered @ Tried::Answered(_), _) | (_, answered @ Tried::Answered(_)) => {
                (answered, None)
            }
            (Tried::Maybe, _) | (_, Tried::Maybe) => (Tried::Maybe, None),
            (Tried::Forgotten, _) | (_, Tried::Forgotten) => (Tried::Forgotten, None),
            (Tried::Never, other) | (other, _) => (other, None),
        }
    }

    /// Sends an operation once. Nobody tells what came of it, unless it is asked for
    /// later.
    pub(super) async fn cast(&mut self, id: u64, place: usize, action: Action, task: &Task) {
        let Some(client) = self.cluster.client(&plan::node(self.home)) else {
            return;
        };
        let invoked = self.now();
        let sending = self.sending(id, place, action, task);
        let message = LedgerMessage {
            id,
            action,
            kept: plan::kept(place),
            takes: 0,
            own: false,
        };
        let world = self.cluster.world().clone();
        let key = plan::key(place);
        world.note(format_args!(
            "cli {} {id} casts {key} {action:?}",
            self.number
        ));
        let name = sending.name;
        let asked = client
            .ask(|handle| async move {
                let mut request = handle.request(&key, message);
                if let Some(Name { id, made }) = name {
                    request = request.id(id);
                    if let Some(made) = made {
                        request = request.issued_at(made);
                    }
                }
                request.cast().await
            })
            .await;
        let outcome = match asked {
            Some(Err(error)) if error.executed() == Executed::No => Outcome::NotExecuted,
            Some(Err(_)) | None => Outcome::Unknown,
            Some(Ok(())) => {
                world.count("cast taken");
                Outcome::Unknown
            }
        };
        world.note(format_args!("cli {} {id} {outcome:?}", self.number));
        self.record(&sending, invoked, outcome);
        if task.doubt == Doubt::AskLater && outcome == Outcome::Unknown {
            self.ask_later(sending);
        }
    }

    /// Lets an agent hibernate, or deletes it.
    pub(super) async fn errand(&mut self, place: usize, delete: bool) {
        let key = plan::key(place);
        let Some(client) = self.cluster.client(&plan::node(self.home)) else {
            return;
        };
        let world = self.cluster.world().clone();
        let invoked = world.now();
        let asked = client
            .ask(|handle| {
                let key = key.clone();
                async move {
                    match delete {
                        true => handle.delete(&key).await.map(|()| true),
                        false => handle.stop(&key).await,
                    }
                }
            })
            .await;
        let how = match &asked {
            Some(Ok(ran)) => format!("ran: {ran}"),
            Some(Err(error)) => error.to_string(),
            None => "gone".to_owned(),
        };
        world.note(format_args!("cli {} ends {key}: {how}", self.number));
        if delete && matches!(asked, Some(Ok(_))) {
            world.count("deletion: told of");
            let ended = world.now();
            self.deletions.lock().push(Deletion { invoked, ended });
        }
    }
}
