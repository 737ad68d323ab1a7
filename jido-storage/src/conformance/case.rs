//! What a case is: a name, the rule that it holds, and what it needs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::fixture::World;
use super::stage::Stage;
use crate::{Capabilities, Sharing};

/// A part of the contract, as [`Storage`](crate::Storage) states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Rule 1: a claim is a compare-and-set, and load comes after it.
    Claim,
    /// Rule 2: an append checks epoch and revision in the transaction that writes.
    Append,
    /// Rule 2, for many commits at once: each succeeds or fails alone, in order.
    Batch,
    /// Rule 2, for requests: the first reply stands, and the window moves on.
    Request,
    /// Rule 3: acknowledged means durable.
    Durable,
    /// Rule 4: an outcome is known, or settled by a larger epoch; a commit can't be dropped half-way.
    Settled,
    /// Rule 5: a release goes with the last checkpoint.
    Release,
    /// Rule 6: limits, odd input and clocks lead to errors that name which, with nothing half written.
    Limit,
    /// Rule 7: dead is final; leases of nodes.
    Node,
    /// Deletion: nothing is left but the epoch and the revision.
    Delete,
    /// Threads: order, pages, content.
    Thread,
    /// The directory: who is in it, and its pages.
    Directory,
    /// Records of many agents: an answer for every question, in its place.
    Heads,
    /// Reminders: committed with the rest, and found when due.
    Reminder,
    /// All rules at once: operations that are generated, or race.
    Whole,
}

impl Rule {
    /// All of them, in order.
    pub const ALL: [Self; 15] = [
        Self::Claim,
        Self::Append,
        Self::Batch,
        Self::Request,
        Self::Durable,
        Self::Settled,
        Self::Release,
        Self::Limit,
        Self::Node,
        Self::Delete,
        Self::Thread,
        Self::Directory,
        Self::Heads,
        Self::Reminder,
        Self::Whole,
    ];

    /// What it says, in a line.
    pub fn text(self) -> &'static str {
        match self {
            Self::Claim => "rule 1: a claim is a compare-and-set, and load comes after it",
            Self::Append => {
                "rule 2: an append checks epoch and revision in the transaction that writes"
            }
            Self::Batch => "rule 2: each commit of a batch succeeds or fails alone, in order",
            Self::Request => "rule 2: the first reply of a request stands, and the window moves on",
            Self::Durable => "rule 3: acknowledged means durable",
            Self::Settled => {
                "rule 4: a larger epoch settles what is under way, and no commit is dropped half-way"
            }
            Self::Release => "rule 5: a release goes with the last checkpoint",
            Self::Limit => {
                "rule 6: limits, odd input and odd clocks leave nothing half written, and errors name which"
            }
            Self::Node => "rule 7: dead is final, and leases are renewed by their owner alone",
            Self::Delete => "deletion leaves nothing but the epoch and the revision",
            Self::Thread => "a thread is read in order, by pages, as it was written",
            Self::Directory => "the directory lists every agent once, dormant ones too, by pages",
            Self::Heads => "records of many agents at once stand in the order asked for",
            Self::Reminder => {
                "reminders go with their commit, and agents are found when they are due"
            }
            Self::Whole => "all rules at once",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What a case needs of the adapter, and of the one who runs the suite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) durable: bool,
    pub(super) shared: bool,
    pub(super) reopening: bool,
    pub(super) processes: bool,
}

/// Why a case does not run.
pub(super) enum Unmet {
    /// The adapter's capabilities don't promise what it checks.
    Capability(&'static str),
    /// The suite was not told how.
    Seam(&'static str),
}

impl Needs {
    pub(super) const NOTHING: Self = Self {
        durable: false,
        shared: false,
        reopening: false,
        processes: false,
    };

    pub(super) const REOPENED: Self = Self {
        durable: true,
        reopening: true,
        ..Self::NOTHING
    };

    pub(super) const KILLED: Self = Self {
        processes: true,
        ..Self::REOPENED
    };

    pub(super) const SHARED: Self = Self {
        shared: true,
        reopening: true,
        processes: true,
        ..Self::NOTHING
    };

    pub(super) fn unmet(self, capabilities: Capabilities, stage: &Stage<'_>) -> Option<Unmet> {
        if self.durable && !capabilities.durable {
            return Some(Unmet::Capability("it is not durable"));
        }
        if self.shared && capabilities.sharing == Sharing::Process {
            return Some(Unmet::Capability("other processes don't see its records"));
        }
        if self.reopening && !stage.reopens() {
            return Some(Unmet::Seam(
                "the suite was not told how to open a place again: see Suite::at",
            ));
        }
        if self.processes && stage.child_test().is_none() {
            return Some(Unmet::Seam(
                "the suite was not told how to start a process: see Suite::processes",
            ));
        }
        None
    }

    fn text(self) -> &'static str {
        match (self.durable, self.shared, self.processes) {
            (true, _, true) => "durable adapters; starts processes",
            (true, _, false) => "durable adapters",
            (false, true, _) => "adapters that processes share; starts processes",
            _ => "every adapter",
        }
    }
}

/// The body of a case that needs one empty storage.
pub(super) type Alone = fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of a case that opens storages as it needs.
pub(super) type Over = for<'a, 's> fn(&'a Stage<'s>) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

#[derive(Clone, Copy)]
pub(super) enum Body {
    Alone(Alone),
    Over(Over),
}

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    path: &'static str,
    rule: Rule,
    needs: Needs,
    limit: Duration,
    body: Body,
}

impl Case {
    /// How long a case may take before it counts as stuck.
    const LIMIT: Duration = Duration::from_secs(120);

    pub(super) const fn alone(path: &'static str, rule: Rule, body: Alone) -> Self {
        Self {
            path,
            rule,
            needs: Needs::NOTHING,
            limit: Self::LIMIT,
            body: Body::Alone(body),
        }
    }

    pub(super) const fn over(path: &'static str, rule: Rule, needs: Needs, body: Over) -> Self {
        Self {
            path,
            rule,
            needs,
            limit: Self::LIMIT,
            body: Body::Over(body),
        }
    }

    pub(super) const fn at_most(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Its name: the file and the function, as `claims::a_live_owner_holds`.
    pub fn name(&self) -> &'static str {
        let prefix = "jido_storage::conformance::";
        self.path.strip_prefix(prefix).unwrap_or(self.path)
    }

    /// The rule that it holds.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// For which adapters it runs, in a few words.
    pub fn runs_for(&self) -> &'static str {
        self.needs.text()
    }

    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn body(&self) -> Body {
        self.body
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name())
            .field("rule", &self.rule)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// Makes the list of a file's cases from the names of its functions, by rule.
macro_rules! cases {
    ($($rule:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        pub(super) const CASES: &[super::case::Case] = &[$($(
            super::case::Case::alone(
                concat!(module_path!(), "::", stringify!($name)),
                super::case::Rule::$rule,
                |world| Box::pin($name(world)),
            )
        ),*),*];
    };
}
pub(super) use cases;
