//! Sends heartbeats and ends the sessions that fall silent, as the detector says.

use std::sync::Arc;

use tokio::time::sleep;

use super::detector::{Detection, Detector, Due};
use super::sessions::Sessions;

/// Watches over all sessions that are up, until it is dropped.
pub(super) async fn watch(detection: Detection, sessions: Arc<Sessions>) {
    let mut detector = Detector::new(detection, sessions.environment().elapsed());
    let mut changes = sessions.changes();
    loop {
        let up = sessions.seen();
        let now = sessions.environment().elapsed();
        for due in detector.tick(now, &up) {
            match due {
                Due::Beat(session) => sessions.beat(session),
                Due::End(session, silent) => sessions.fell_silent(session, silent),
            }
        }
        tokio::select! { biased;
            // Whose session comes up meanwhile may wait for less than the pause.
            Ok(()) = changes.changed() => {}
            () = sleep(detection.tick_every(&up)) => {}
        }
    }
}
