//! The ownership protocol as a model that is searched exhaustively within bounds.
//!
//! It leads the code: what it does, `jido-cluster/src/activation`, its
//! `lease.rs` and the adapters of `jido-storage` have to do. An unknown commit is
//! settled here by looking its requests up, and in the code by its revision and epochs. A
//! node begins as many lives as the bounds give it, whether in a new process or, as a
//! node that was declared dead does, in the same one.
//!
//! # State
//!
//! *Storage* (`store.rs`): of each agent its owner, epoch, revision, state and the
//! replies of its requests; of each node whether its life was declared dead. An
//! agent's state is the list of the requests that it has applied, and the reply to a
//! request is its place in that list: so what is lost, doubled or reordered shows.
//! *Nodes* (`state.rs`): of each the age of its lease, what others saw of its beat,
//! and of each agent its activation: claimed, running, frozen by an unknown
//! outcome, or none. *The wire*: commits on their way to storage. *Witnesses*: what
//! was acknowledged and shown to outsiders; they decide nothing.
//!
//! # Steps
//!
//! A node claims, loads, handles a request, commits what several changed while the
//! commit before was in flight, hears of its outcome or learns that it never will,
//! settles that by a new epoch, releases, looks at its state and then at its clock
//! to answer a read, renews its lease, crashes, shuts down, comes back as another
//! life. Somebody looks at a beat, and declares a node dead. Time goes on. All of
//! it happens in every order, one step at a time.
//!
//! # What has no step of its own
//!
//! - *Lost and delayed messages.* Nothing has to arrive: a request, a commit, a
//!   renewal that stays on its way for ever is lost. Commits arrive in any order,
//!   after the end of their sender too; within bounds also twice.
//! - *Clients.* Any request may reach any node at any time and any number of times,
//!   also after its reply: that covers placement, hints, relays, retries and
//!   duplicates, however wrong. A reply counts as given when it leaves.
//! - *Pauses.* A node that takes no step while time and the others go on is paused.
//!   What it had looked at before, it still believes afterwards.
//! - *Claims and loads* are one moment each: a node that hears of it late is one
//!   that takes its next step late. `StrayClaim` is the claim of which no node hears.
//! - *Who watches.* One watcher a node, who may look and declare at any time, stands
//!   for all others: death is final, so of several the first alone counts.
//!
//! # Time
//!
//! Ticks are of the true time. A lease may be thought to hold for `LEASE_TICKS` from
//! before its renewal was sent, on the slowest clock; a beat has to stand still for
//! `WATCH_TICKS`, on the fastest. That the one is no longer than the other is what
//! the drift allowance is for, and arithmetic outside the model: as `lease.rs`
//! counts them, the one is four fifths of the other, and clocks may be wrong by one part in nine. Clocks that jump, stand still
//! during suspend, or drift beyond that are not covered for reads. Writes are searched
//! with `Clocks::None`, where any node may be declared dead at any time: they do not
//! depend on clocks.
//!
//! # Not in the model
//!
//! Deletion, entries apart from the state, hibernation's last checkpoint in the
//! transaction of the release (it is a commit, then a release), definite failures
//! of storage, durability `Hibernate`, storage that isn't shared, and that
//! everything is served again in the end: only that nothing wrong is.
//!
//! # How far
//!
//! `exhaustive.rs` has the bounds and what must be reached within them; `flaws.rs`
//! plants one flaw at a time and expects the property that it breaks; `agreement.rs`
//! holds the model's storage against the memory adapter. States are told apart by 64
//! bits of hash: of ten million, two fall together with a chance of one in 400,000.
//! Nodes are alike, and states that differ in their names alone are searched once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says how far it searched"
)]

mod agents;
mod agreement;
mod commits;
mod exhaustive;
mod flaws;
mod life;
mod properties;
mod protocol;
mod rules;
mod run;
mod state;
mod steps;
mod store;
mod symmetry;
