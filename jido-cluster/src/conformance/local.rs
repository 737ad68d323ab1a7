//! A node of this process.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::Incarnation;

use super::Subject;
use super::recorder::{Batch, Counts, Recorder};
use crate::transport::{Peer, SendError, Transport};

/// A [`Subject`] whose transport runs in this process.
pub struct Local {
    peer: Peer,
    transport: Arc<dyn Transport>,
    recorder: Arc<Recorder>,
    kill: Box<dyn Fn() + Send + Sync>,
}

impl Local {
    /// Starts a transport that was made for a peer. `kill` ends it as the loss of its process
    /// would.
    ///
    /// # Panics
    ///
    /// When it can't be started, or when it can be started a second time.
    pub async fn start(
        mut peer: Peer,
        transport: Arc<dyn Transport>,
        kill: impl Fn() + Send + Sync + 'static,
    ) -> Arc<dyn Subject> {
        let recorder = Recorder::new(&transport);
        if let Err(error) = transport.start(recorder.clone()).await {
            panic!("a transport can't be started: {error}");
        }
        let again = transport.start(recorder.clone()).await;
        assert!(again.is_err(), "a transport was started a second time");
        peer.address = transport.address();
        Arc::new(Self {
            peer,
            transport,
            recorder,
            kill: Box::new(kill),
        })
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Subject for Local {
    fn peer(&self) -> Peer {
        self.peer.clone()
    }

    async fn send(&self, to: Incarnation, batch: Batch) -> Result<(), SendError> {
        self.recorder.send(to, batch)
    }

    async fn counts(&self, from: Incarnation) -> Counts {
        self.recorder.counts(from)
    }

    async fn faults(&self) -> Vec<String> {
        self.recorder.faults()
    }

    async fn is_settled(&self) -> bool {
        self.transport.is_settled()
    }

    async fn stop(&self) {
        self.transport.stop().await;
    }

    async fn kill(&self) {
        (self.kill)();
    }
}
