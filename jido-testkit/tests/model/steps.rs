//! The steps by name, and what a search has to have met.

/// One step. `n` is a node, `k` a key, `r` a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// True time goes on by one tick.
    Tick,
    /// A request reaches the activation of its key on a node.
    Deliver {
        n: usize,
        r: u8,
    },
    /// A read looks at the state.
    Look {
        n: usize,
        k: usize,
    },
    /// A read looks at the clock and is answered.
    AnswerRead {
        n: usize,
        k: usize,
    },
    /// Only with `Flaw::ClaimAndLoadInOneStep`.
    ReadBeforeClaim {
        n: usize,
        k: usize,
    },
    Claim {
        n: usize,
        k: usize,
    },
    /// A claim takes effect whose node no longer waits for it.
    StrayClaim {
        n: usize,
        k: usize,
    },
    Load {
        n: usize,
        k: usize,
    },
    /// An activation sends a commit with all that its messages changed.
    Commit {
        n: usize,
        k: usize,
    },
    /// An activation gives its claim back, and ends.
    Release {
        n: usize,
        k: usize,
    },
    /// A commit reaches storage.
    Apply {
        commit: usize,
    },
    /// A commit reaches storage and stays on its way, to arrive again.
    ApplyTwice {
        commit: usize,
    },
    /// An activation gets the outcome of its commit.
    Outcome {
        n: usize,
        k: usize,
    },
    /// An activation learns that it will not get the outcome.
    LoseOutcome {
        n: usize,
        k: usize,
    },
    /// A renewal, all at once.
    Renew {
        n: usize,
    },
    SendRenewal {
        n: usize,
    },
    ApplyRenewal {
        n: usize,
    },
    ReceiveRenewal {
        n: usize,
    },
    /// Somebody reads the beat of a node.
    Watch {
        n: usize,
    },
    /// Somebody to whom a beat seems to stand still declares its node dead.
    DeclareDead {
        n: usize,
    },
    Crash {
        n: usize,
    },
    ShutDown {
        n: usize,
    },
    /// A process that ended is started again.
    Restart {
        n: usize,
    },
}

/// What a run has to reach, so that it shows something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Event {
    FencedAppend,
    /// An activation that lived on past its lease, and whose agent moved, wakes,
    /// commits and is fenced.
    SleeperFenced,
    UnknownWasMade,
    UnknownWasNotMade,
    /// An agent whose owner crashed was claimed by another node.
    TakeoverAfterCrash,
    /// A retry was answered by an activation that never handled the request.
    AnsweredFromRecord,
    ReadInLease,
    HeldReadInLease,
    /// A read found the lease run out and was not answered.
    ReadRefused,
    /// A node that was declared dead went on as a new life, and claimed.
    NewLifeClaims,
    /// An agent was claimed by another node after its owner had released it.
    ClaimAfterRelease,
    /// A commit carried what several messages changed while another was in flight.
    PipelinedCommit,
    /// A commit of a smaller epoch arrived after the agent was claimed anew.
    LateCommitFenced,
    /// A read by an owner that was cut off showed less than had been acknowledged.
    StaleRead,
}

impl Event {
    pub(crate) const ALL: [Self; 14] = [
        Self::FencedAppend,
        Self::SleeperFenced,
        Self::UnknownWasMade,
        Self::UnknownWasNotMade,
        Self::TakeoverAfterCrash,
        Self::AnsweredFromRecord,
        Self::ReadInLease,
        Self::HeldReadInLease,
        Self::ReadRefused,
        Self::NewLifeClaims,
        Self::ClaimAfterRelease,
        Self::PipelinedCommit,
        Self::LateCommitFenced,
        Self::StaleRead,
    ];
}
