//! What the user's own signals say of the node's health, and what follows from it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Core;

/// How often the user's check is called.
const EVERY: Duration = Duration::from_secs(1);

/// The user's check; its error says why the node isn't well.
pub(super) type HealthCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Looks at the health of a life until it is over.
pub(super) async fn watch(core: Weak<Core>, check: HealthCheck) {
    loop {
        tokio::time::sleep(EVERY).await;
        match core.upgrade() {
            Some(core) if !core.is_over() => core.look_at_health(&check),
            _ => return,
        }
    }
}

impl Core {
    /// Calls the check, and tells the peers of what is new.
    pub(super) fn look_at_health(&self, check: &HealthCheck) {
        let found = catch_unwind(AssertUnwindSafe(|| check()))
            .unwrap_or_else(|_| Err("the check of its health panicked".to_owned()));
        let found = found.err();
        let mut ailment = self.ailment.lock();
        if found.is_some() != ailment.is_some() {
            match &found {
                Some(why) => {
                    tracing::warn!(node = %self.name, why, "the node isn't well: it takes no further keys")
                }
                None => tracing::info!(node = %self.name, "the node is well again"),
            }
            self.exchange.health(found.is_none());
        }
        *ailment = found;
    }
}
