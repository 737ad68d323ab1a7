//! The routes about where counters run: what would move, and moving it now.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use jido_cluster::MAX_MIGRATIONS;
use serde_json::{Value, json};

use super::errors::ApiError;
use super::state::State;

/// How long a client waits for counters to be moved.
const PATIENCE: Duration = Duration::from_secs(30);

type Answer = Result<Json<Value>, ApiError>;

/// What would be moved.
pub(super) async fn plan(Extract(state): Extract<Arc<State>>) -> Answer {
    let plan = state
        .serving()?
        .counters
        .rebalance_plan(MAX_MIGRATIONS)
        .await;
    let moves: Vec<Value> = plan
        .moves
        .iter()
        .map(|one| {
            json!({
                "key": one.key.as_str(),
                "from": one.from,
                "to": one.to,
                "reason": one.reason.to_string(),
            })
        })
        .collect();
    Ok(Json(json!({
        "moves": moves,
        "more": plan.more,
        "unanswered": plan.unanswered,
    })))
}

/// Moves as many as one time may.
pub(super) async fn rebalance(Extract(state): Extract<Arc<State>>) -> Answer {
    let done = state.serving()?.counters.rebalance(PATIENCE).await?;
    Ok(Json(json!({
        "by": done.by,
        "succeeded": done.migrations.succeeded,
        "failed": done.migrations.failed,
        "skipped": done.migrations.skipped,
        "storage_not_shared": done.migrations.storage_not_shared,
        "more": done.more,
    })))
}
