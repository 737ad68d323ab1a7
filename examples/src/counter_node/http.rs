//! The routes.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State as Extract};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use jido_cluster::{AgentKey, LAST_TIME, RequestId, Timestamp, TraceContext};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::counter::CounterMessage;
use super::errors::ApiError;
use super::rebalancing;
use super::state::State;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

type Answer = Result<Json<Value>, ApiError>;

/// All routes of a node.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/demo/keys/{key}", get(read))
        .route("/demo/keys/{key}/inc", post(increment))
        .route("/demo/keys/{key}/cast", post(cast))
        .route("/demo/keys/{key}/remind", post(remind))
        .route("/demo/keys/{key}/owner", get(owner))
        .route("/demo/keys/{key}/stop", post(stop))
        .route("/demo/cluster/stats", get(stats))
        .route("/demo/cluster/members", get(members))
        .route("/demo/node/network", get(network))
        .route(
            "/demo/cluster/rebalance",
            get(rebalancing::plan).post(rebalancing::rebalance),
        )
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            close_while_draining,
        ))
        .with_state(state)
}

/// A key in a path, percent-decoded and checked.
struct Key(AgentKey);

impl Key {
    fn from(path: Result<Path<String>, PathRejection>) -> Result<Self, ApiError> {
        let Path(key) = path.map_err(|cause| {
            ApiError::invalid(format!(
                "key is not percent-encoded UTF-8: {}",
                cause.body_text()
            ))
        })?;
        AgentKey::new(key)
            .map(Self)
            .map_err(|error| ApiError::invalid(error.to_string()))
    }

    fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[derive(Deserialize)]
struct IncrementQuery {
    // Read as text, so that the error is ours.
    by: Option<String>,
}

async fn increment(
    Extract(state): Extract<Arc<State>>,
    key: Result<Path<String>, PathRejection>,
    query: Result<Query<IncrementQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let key = Key::from(key)?;
    let by = amount(query)?;
    let request = request_id(&headers)?;
    call(&state, &key, CounterMessage::Add(by), request, &headers).await
}

/// An increment that is not waited for: answered with 202 when the agent has taken it.
async fn cast(
    Extract(state): Extract<Arc<State>>,
    key: Result<Path<String>, PathRejection>,
    query: Result<Query<IncrementQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let key = Key::from(key)?;
    let message = CounterMessage::Add(amount(query)?);
    let mut cast = state.serving()?.counters.request(key.as_str(), message);
    if let Some(id) = request_id(&headers)? {
        cast = cast.id(id);
    }
    if let Some(trace) = trace_context(&headers) {
        cast = cast.trace_context(trace);
    }
    cast.cast().await?;
    let taken = json!({ "key": key.as_str(), "node": state.name(), "taken": true });
    Ok((StatusCode::ACCEPTED, Json(taken)))
}

#[derive(Deserialize)]
struct RemindQuery {
    at: Option<String>,
    by: Option<String>,
}

/// An increment at a time to come.
async fn remind(
    Extract(state): Extract<Arc<State>>,
    key: Result<Path<String>, PathRejection>,
    query: Result<Query<RemindQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let key = Key::from(key)?;
    let Query(RemindQuery { at, by }) = query.map_err(|cause| malformed(&cause))?;
    let message = CounterMessage::AddAt {
        at: time(at.as_deref())?,
        by: whole(by.as_deref())?,
    };
    call(&state, &key, message, request_id(&headers)?, &headers).await
}

async fn read(
    Extract(state): Extract<Arc<State>>,
    key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    call(
        &state,
        &Key::from(key)?,
        CounterMessage::Get,
        None,
        &headers,
    )
    .await
}

async fn call(
    state: &State,
    key: &Key,
    message: CounterMessage,
    request: Option<RequestId>,
    headers: &HeaderMap,
) -> Answer {
    let mut call = state.serving()?.counters.request(key.as_str(), message);
    if let Some(id) = request {
        call = call.id(id);
    }
    if let Some(trace) = trace_context(headers) {
        call = call.trace_context(trace);
    }
    let reply = call.send().await?;
    Ok(Json(json!({
        "key": key.as_str(),
        "value": reply.value?,
        "node": state.name(),
        "owner": reply.owner,
        "epoch": reply.epoch,
        "revision": reply.revision,
    })))
}

async fn owner(
    Extract(state): Extract<Arc<State>>,
    key: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = Key::from(key)?;
    let ownership = state.serving()?.counters.owner(key.as_str()).await?;
    let Some(owner) = ownership.owner.as_ref().or(ownership.placed.as_ref()) else {
        return Err(ApiError::not_ready(
            "no node takes keys: all of them are shutting down",
        ));
    };
    Ok(Json(json!({
        "key": key.as_str(),
        "node": state.name(),
        "owner": owner,
        "placed": ownership.placed,
    })))
}

async fn stop(
    Extract(state): Extract<Arc<State>>,
    key: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = Key::from(key)?;
    let stopped = state.serving()?.counters.stop(key.as_str()).await?;
    Ok(Json(json!({ "key": key.as_str(), "stopped": stopped })))
}

async fn stats(Extract(state): Extract<Arc<State>>) -> Answer {
    let stats = state.serving()?.counters.stats().await?;
    Ok(Json(
        json!({ "by_node": stats.by_node, "total": stats.total }),
    ))
}

async fn members(Extract(state): Extract<Arc<State>>) -> Answer {
    let members: Vec<Value> = state
        .serving()?
        .node
        .members()
        .into_iter()
        .map(|member| {
            json!({
                "name": member.name,
                "incarnation": member.incarnation,
                "address": member.address,
                "leaving": member.leaving,
                "healthy": member.healthy,
                "zone": member.labels.zone(),
            })
        })
        .collect();
    Ok(Json(json!({ "members": members })))
}

async fn network(Extract(state): Extract<Arc<State>>) -> Answer {
    let stats = state.serving()?.node.network_stats();
    Ok(Json(json!({
        "accepted": stats.accepted,
        "sessions": stats.sessions,
        "wrong_cookie": stats.wrong_cookie,
        "wrong_certificate": stats.wrong_certificate,
        "wrong_cluster": stats.wrong_cluster,
        "unreadable": stats.unreadable,
        "too_slow": stats.too_slow,
        "turned_away": stats.turned_away,
        "fell_silent": stats.fell_silent,
    })))
}

async fn metrics(
    Extract(state): Extract<Arc<State>>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics().await)
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn readyz(Extract(state): Extract<Arc<State>>) -> Answer {
    state.check_ready().await?;
    Ok(Json(json!({ "status": "ready" })))
}

async fn unknown_path(uri: Uri) -> ApiError {
    // No route matches an empty segment, so an empty key ends up here.
    let path = uri.path();
    let is_key = path.strip_prefix("/demo/keys/").filter(|rest| {
        rest.is_empty() || ["/inc", "/cast", "/remind", "/owner", "/stop"].contains(rest)
    });
    match is_key.map(|_| AgentKey::check("")) {
        Some(Err(error)) => ApiError::invalid(error.to_string()),
        _ => ApiError::not_found(path),
    }
}

async fn unknown_method(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(method.as_str(), uri.path())
}

/// Tells clients of a node that drains to close their connections, so that none is
/// left to be cut when it stops.
async fn close_while_draining(
    Extract(state): Extract<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if state.is_draining() {
        response.headers_mut().insert(
            header::CONNECTION,
            header::HeaderValue::from_static("close"),
        );
    }
    response
}

fn amount(query: Result<Query<IncrementQuery>, QueryRejection>) -> Result<i64, ApiError> {
    let Query(IncrementQuery { by }) = query.map_err(|cause| malformed(&cause))?;
    whole(by.as_deref())
}

fn malformed(cause: &QueryRejection) -> ApiError {
    ApiError::invalid(format!("query is malformed: {}", cause.body_text()))
}

fn time(at: Option<&str>) -> Result<Timestamp, ApiError> {
    let ms = at.and_then(|at| at.parse().ok().map(Timestamp));
    ms.filter(|at| *at <= LAST_TIME).ok_or_else(|| {
        ApiError::invalid(format!(
            "at is {:?}: it is a time in milliseconds of Unix time, up to {}",
            at.unwrap_or_default(),
            LAST_TIME.0
        ))
    })
}

fn whole(by: Option<&str>) -> Result<i64, ApiError> {
    let Some(by) = by else { return Ok(1) };
    by.parse().map_err(|_| {
        ApiError::invalid(format!(
            "by is {by:?}: it is a whole number from {} to {}",
            i64::MIN,
            i64::MAX
        ))
    })
}

/// The trace that a request belongs to. What can't be read is left out, as the recommendation wants it.
fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let trace: TraceContext = parents.next()?.to_str().ok()?.parse().ok()?;
    if parents.next().is_some() {
        return None;
    }
    let states: Option<Vec<&str>> = headers
        .get_all("tracestate")
        .iter()
        .map(|state| state.to_str().ok())
        .collect();
    let state = states.unwrap_or_default().join(",");
    trace.clone().with_state(&state).ok().or(Some(trace))
}

fn request_id(headers: &HeaderMap) -> Result<Option<RequestId>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let uuid = value
        .to_str()
        .ok()
        .and_then(|text| Uuid::try_parse(text).ok())
        .filter(|_| values.next().is_none());
    uuid.map(|uuid| Some(RequestId::from_uuid(uuid)))
        .ok_or_else(|| {
            ApiError::invalid("Idempotency-Key is no UUID: it is one, of 32 hexadecimal digits")
        })
}
