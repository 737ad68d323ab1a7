//! The promises of [`Transport`](crate::transport::Transport), as cases that every transport passes.
//!
//! ```
//! # use std::sync::Arc;
//! # use jido_cluster::conformance::{self, Local, Stage, Subject};
//! # use jido_cluster::loopback::LoopbackNetwork;
//! # use jido_cluster::transport::Peer;
//! #[derive(Debug, Default)]
//! struct Loopback(LoopbackNetwork);
//!
//! #[async_trait::async_trait]
//! impl Stage for Loopback {
//!     async fn start(&self, peer: Peer) -> Arc<dyn Subject> {
//!         let network = self.0.clone();
//!         let transport = Arc::new(network.transport(peer.clone()));
//!         let incarnation = peer.incarnation;
//!         Local::start(peer, transport, move || network.disconnect(incarnation)).await
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! conformance::run(|| Arc::new(Loopback::default())).await;
//! # }
//! ```
//!
//! A transport whose nodes need processes of their own runs a [`Recorder`] in each, and its
//! [`Subject`] asks it over whatever it likes.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code: a promise that is broken ends the run with a panic"
)]

mod cases;
mod local;
mod recorder;

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::Incarnation;

pub use self::cases::{Case, Verdict, cases};
pub use self::local::Local;
pub use self::recorder::{Batch, Counts, Recorder};
use crate::transport::{Peer, SendError};

/// Where nodes of one network are started. Each case has one of its own.
#[async_trait]
pub trait Stage: fmt::Debug + Send + Sync {
    /// Starts a node, which comes to have a session with every other one that runs. The peer says its
    /// name and its life; its address is the transport's to choose.
    async fn start(&self, peer: Peer) -> Arc<dyn Subject>;
}

/// A node that runs a transport with a [`Recorder`] as its inbox.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// Who it is, and where it is reached.
    fn peer(&self) -> Peer;

    /// Sends envelopes, as [`Recorder::send`] does.
    async fn send(&self, to: Incarnation, batch: Batch) -> Result<(), SendError>;

    /// What it has got from a peer, as [`Recorder::counts`] tells.
    async fn counts(&self, from: Incarnation) -> Counts;

    /// What it has seen that may not be, as [`Recorder::faults`] tells.
    async fn faults(&self) -> Vec<String>;

    /// Whether the transport is [settled](crate::transport::Transport::is_settled).
    async fn is_settled(&self) -> bool;

    /// [Stops](crate::transport::Transport::stop) the transport.
    async fn stop(&self);

    /// Ends the node as the loss of its process would.
    async fn kill(&self);
}

/// Runs every case, each on a stage of its own, and prints its name.
///
/// # Panics
///
/// When a promise is broken. The message names every case that failed, and what it saw.
pub async fn run<S: Stage + 'static>(stage: impl Fn() -> Arc<S>) {
    let mut broken = String::new();
    for (name, case) in cases() {
        println!("{name}");
        if let Err(why) = case(stage()).await {
            let _ = writeln!(broken, "  {name}: {why}");
        }
    }
    assert!(
        broken.is_empty(),
        "promises of a transport are broken:\n{broken}"
    );
}
