//! Bugs that can be planted, to show that the checks of a cluster would find them.
//!
//! For tests alone: they exist only with the feature `planted-bugs`, which a build
//! without debug assertions refuses, and even then only on a thread that [`plant`]s
//! one. Where each of them is, `is_planted!` stands in the code.

/// Whether a bug is planted on this thread; `false` without the feature, and then nothing
/// of it is compiled.
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
#[macro_export]
macro_rules! is_planted {
    ($bug:ident) => {
        $crate::planted::planted() == Some($crate::planted::Bug::$bug)
    };
}

/// Whether a bug is planted on this thread; `false` without the feature, and then nothing
/// of it is compiled.
#[cfg(not(feature = "planted-bugs"))]
#[doc(hidden)]
#[macro_export]
macro_rules! is_planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(feature = "planted-bugs")]
pub use bugs::{Bug, plant, planted};

#[cfg(feature = "planted-bugs")]
mod bugs {
    use std::cell::Cell;
    use std::fmt;
    use std::str::FromStr;

    #[cfg(not(debug_assertions))]
    compile_error!("the feature `planted-bugs` is for tests: a release is built without it");

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in all that runs on this thread from now on, or takes it out again.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// The bug that is planted on this thread.
    pub fn planted() -> Option<Bug> {
        PLANTED.get()
    }

    macro_rules! bugs {
        ($($(#[doc = $what:literal])+ $bug:ident,)+) => {
            /// A bug that can be planted.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Bug {
                $($(#[doc = $what])+ $bug,)+
            }

            impl Bug {
                /// All of them.
                pub const ALL: &'static [Self] = &[$(Self::$bug,)+];
            }
        };
    }

    bugs! {
        /// The memory adapter commits whatever the epoch.
        NoEpochCheck,
        /// The memory adapter lets a commit of any epoch release the agent.
        ReleaseWithoutEpoch,
        /// An agent is read as it was before its claim took effect, as one statement
        /// that claims and loads may.
        ClaimAndLoadInOneStep,
        /// Replies leave before the commit of what they saw.
        AcknowledgeBeforeCommit,
        /// A lease counts from when the answer to its renewal came.
        LeaseFromReceipt,
        /// A node is declared dead as soon as its beat stood still between two looks.
        DeadFromOneMissedBeat,
        /// A further try of a request is handled as if it were the first.
        NoDeduplication,
        /// A further try is handled although its request may have been forgotten.
        WindowIgnored,
        /// A further try that changes nothing leaves no record of its answer.
        RefusalNotKept,
        /// A commit that takes too long is dropped, and taken not to have been made.
        CommitDroppedOnTimeOut,
        /// Nodes send a call to each other by what they remember, without end.
        ForwardingLoop,
        /// What is remembered of an agent's owner is never forgotten.
        StaleReferenceKept,
        /// Every second commit with entries leaves the checkpoint as it was, and that is restored
        /// as if it were of the whole thread.
        OldCheckpointRestored,
        /// A commit whose outcome is unknown is taken not to have been made.
        UnknownTakenAsFailed,
        /// A leased read does not look at the lease.
        LeaseNotChecked,
        /// A strict read does not ask storage.
        ReadNotConfirmed,
        /// What a message did that failed is not undone.
        FailureNotUndone,
        /// An agent whose thread tells its state is read from its checkpoint alone.
        EntriesNotReplayed,
        /// What a reminder's message did is committed without the list that has gone on.
        OccurrenceNotCommitted,
        /// Reminders that are due when an agent is loaded are taken to have come.
        MissedDroppedAtTakeover,
        /// A commit that was not made leaves the list of reminders as if it had been.
        RemindersNotUndone,
        /// What was scheduled by a message that is undone comes all the same.
        TimersNotUndone,
        /// What belonged to a life of a node that is over is kept.
        FormerLifeKept,
        /// Nobody wakes agents that do not run.
        DormantNotWoken,
        /// An activation comes to reminders a second before they are due.
        RemindedTooEarly,
        /// A deletion is acknowledged whatever storage says of it.
        DeletionTakenAsDone,
        /// An agent that is moved is released, and activated on its new node, while it runs on
        /// where it was.
        RebalanceWithoutDrain,
    }

    impl fmt::Display for Bug {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Debug::fmt(self, f)
        }
    }

    impl FromStr for Bug {
        type Err = String;

        fn from_str(name: &str) -> Result<Self, String> {
            let found = Self::ALL.iter().find(|bug| bug.to_string() == name);
            found.copied().ok_or_else(|| {
                let all: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
                format!("{name} is no bug that can be planted: {}", all.join(", "))
            })
        }
    }
}
