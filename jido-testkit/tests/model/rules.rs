//! What a run of the checker is given: bounds, the takeover policy, and the flaw
//! that is planted, if any.

/// The most nodes, agents and requests that a state has room for.
pub(crate) const NODES: usize = 3;
pub(crate) const KEYS: usize = 2;
pub(crate) const REQUESTS: usize = 3;

/// The longest true time, in ticks since a renewal was sent, for which its sender
/// may think that its lease holds: the time to live, on the slowest clock.
pub(crate) const LEASE_TICKS: u8 = 2;
/// The shortest true time, in ticks since a beat was first seen, after which a
/// watcher may declare its node dead: the time to live and the allowance for drift,
/// on the fastest clock.
pub(crate) const WATCH_TICKS: u8 = 2;

/// See `jido_cluster::Takeover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takeover {
    AfterLease,
    OnDisconnect,
}

/// How closely time is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clocks {
    /// No clock can be trusted: any node may be declared dead at any time, and there
    /// are no leased reads. What holds here holds whatever the clocks do.
    None,
    /// A renewal takes effect and is answered in the moment in which it is sent:
    /// of all its ways the one that makes the lease longest against the beat.
    Instant,
    /// A renewal is sent, takes effect and is answered, with ticks in between.
    Steps,
}

/// A way to get the protocol wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// An append checks the revision alone.
    NoEpochCheck,
    /// An append checks the epoch alone.
    NoRevisionCheck,
    /// A claim gives the epoch that it found.
    ClaimKeepsEpoch,
    /// A claim doesn't look at the owner.
    ClaimIgnoresOwner,
    /// The state is read as it was when the claim began to wait for the record.
    ClaimAndLoadInOneStep,
    /// A reply leaves when its message was handled.
    AcknowledgeBeforeCommit,
    /// A read that saw a commit in flight is answered at once.
    ReadOfCommitInFlight,
    /// A commit whose outcome is unknown is taken to be made.
    UnknownIsMade,
    /// A commit whose outcome is unknown is looked for without a new epoch.
    UnknownSettledWithoutEpoch,
    /// Nobody looks whether a request was applied before.
    NoDedup,
    /// The record of a request is not in the commit of its effect.
    RecordApartFromEffect,
    /// The claim is given back whoever holds it by now.
    ReleaseWithoutEpoch,
    /// Reads are answered without a look at the clock.
    NoLease,
    /// Reads that were held until a commit was durable leave without a look at
    /// the clock.
    HeldReadWithoutLease,
    /// The lease counts from when the answer to the renewal came in.
    LeaseFromReceipt,
    /// A node is declared dead one tick after its beat was seen.
    DeadFromOneMissedBeat,
    /// A node is declared dead whatever its beat is by now.
    DeadWhateverBeat,
    /// A dead node may renew.
    DeadMayRenew,
    /// A node that shuts down is declared dead before it has stopped to answer.
    DeadBeforeStopped,
}

/// How much of everything a run has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) nodes: usize,
    pub(crate) keys: usize,
    /// Requests, each of which may be sent and retried without end. Request `r` is
    /// for key `r % keys`.
    pub(crate) requests: usize,
    /// The largest epoch of an agent.
    pub(crate) epochs: u8,
    /// Crashes and clean ends of nodes.
    pub(crate) ends: u8,
    /// Lives of a node beyond its first.
    pub(crate) rebirths: u8,
    /// Commits whose outcome is lost.
    pub(crate) unknowns: u8,
    /// Claims that take effect when nobody waits for them any more.
    pub(crate) strays: u8,
    /// Deliveries of commits beyond the first of each.
    pub(crate) doubles: u8,
    pub(crate) clocks: Clocks,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    pub(crate) takeover: Takeover,
    pub(crate) flaw: Option<Flaw>,
}

impl Rules {
    pub(crate) fn is(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}
