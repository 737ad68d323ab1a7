//! The root of a node's supervision tree.

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

/// It is told nothing: it only watches.
#[derive(Debug)]
pub(crate) enum SupervisorMessage {}

impl ractor::Message for SupervisorMessage {}

/// Watches the managers of a node.
pub(super) struct Supervisor;

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // A manager's agents ended with it; their claims stay with this node, which
            // answers for them with an error until it is restarted. Or it is an agent
            // whose failures are escalated, and that goes on.
            SupervisionEvent::ActorFailed(failed, error) => {
                tracing::error!(actor = %failed.get_id(), %error, "a manager or an agent failed");
            }
            SupervisionEvent::ActorTerminated(manager, _, reason) => {
                tracing::debug!(actor = %manager.get_id(), ?reason, "a manager ended");
            }
            _ => {}
        }
        Ok(())
    }
}
