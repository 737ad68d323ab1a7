//! Errors as HTTP answers.
//!
//! | code | status | when |
//! |---|---|---|
//! | `invalid_input` | 400 | the request breaks a rule that the message names |
//! | `not_found` | 404 | there is no such path |
//! | `method_not_allowed` | 405 | the path takes another method |
//! | `expired` | 409 | a retry came too late for the counter to know whether it was applied: read the counter |
//! | `overflow` | 422 | the counter refused: the sum leaves 64 bits; nothing was changed |
//! | `agent` | 422 | the counter's handler failed; nothing was changed |
//! | `overloaded` | 429, `Retry-After` | too much is waiting already |
//! | `timeout` | 504 | the call's time ran out |
//! | `unavailable`, `interrupted`, `stopped`, `not_ready` | 503, `Retry-After` | as in `jido_cluster::ErrorKind` |
//! | `incompatible`, `unreadable`, `startup`, `internal` | 500 | an operator has to look |
//!
//! `executed` says whether the effect of the request took place: `no`, `maybe` or `yes`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jido_cluster::{Error, ErrorKind, Executed};
use serde_json::json;

use super::counter::Refusal;

/// The seconds that a client is told to wait before it tries again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An error, as it is answered.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retryable: bool,
    executed: Executed,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retryable: false,
            executed: Executed::No,
        }
    }

    /// The request breaks a rule, which the message names.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_input", message)
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no path {path}"),
        )
    }

    pub(super) fn method_not_allowed(method: &str, path: &str) -> Self {
        let message = format!("path {path} does not take method {method}");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        )
    }

    /// The node takes no requests at the moment.
    pub(super) fn not_ready(message: &str) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message);
        Self {
            retryable: true,
            ..error
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overflow { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "overflow",
                refusal.to_string(),
            ),
        }
    }
}

impl From<jido_cluster::Error> for ApiError {
    fn from(error: Error) -> Self {
        let (status, code) = match error.kind() {
            ErrorKind::InvalidInput => (StatusCode::BAD_REQUEST, "invalid_input"),
            ErrorKind::Agent => (StatusCode::UNPROCESSABLE_ENTITY, "agent"),
            ErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ErrorKind::Interrupted => (StatusCode::SERVICE_UNAVAILABLE, "interrupted"),
            ErrorKind::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
            ErrorKind::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
            ErrorKind::Incompatible => (StatusCode::INTERNAL_SERVER_ERROR, "incompatible"),
            ErrorKind::Unreadable => (StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
            ErrorKind::Expired => (StatusCode::CONFLICT, "expired"),
            ErrorKind::Startup => (StatusCode::INTERNAL_SERVER_ERROR, "startup"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self {
            status,
            code,
            message: error.to_string(),
            retryable: error.is_retryable(),
            executed: error.executed(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "executed": self.executed.to_string(),
        }});
        let mut response = (self.status, Json(body)).into_response();
        let wait = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&self.status);
        if wait && self.retryable {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_status() {
        for (kind, status, code, wait) in [
            (ErrorKind::InvalidInput, 400, "invalid_input", false),
            (ErrorKind::Timeout, 504, "timeout", false),
            (ErrorKind::Overloaded, 429, "overloaded", true),
            (ErrorKind::Unavailable, 503, "unavailable", true),
            (ErrorKind::Stopped, 503, "stopped", true),
            (ErrorKind::Unreadable, 500, "unreadable", false),
            (ErrorKind::Expired, 409, "expired", false),
        ] {
            let error = Error::new(kind, "why").with_executed(Executed::Maybe);
            let error = ApiError::from(error);
            assert_eq!((error.code, error.executed), (code, Executed::Maybe));
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(
                response.headers().contains_key(header::RETRY_AFTER),
                wait,
                "{kind:?}"
            );
        }
    }
}
