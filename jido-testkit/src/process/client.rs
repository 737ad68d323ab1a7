//! A client of the demo node's HTTP contract.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use jido_core::Executed;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::http::{Answer, Http};
use super::replies::{CounterReply, Member, OwnerReply, RebalancePlan, Rebalanced, Stats};
use crate::{Error, ErrorKind};

/// An increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inc {
    /// What is added.
    pub by: i64,
    /// The identity of the request, the same for every retry.
    pub request: Option<Uuid>,
}

impl Default for Inc {
    fn default() -> Self {
        Self {
            by: 1,
            request: None,
        }
    }
}

/// Asks one node. Clones share its connections.
///
/// Every method answers with [`Refused`](ErrorKind::Refused) when the node
/// answered with an error; [`Error::executed`] and [`Error::is_retryable`] say what
/// may be done then. Without an answer it is
/// [`Unreachable`](ErrorKind::Unreachable) (nothing was sent: ask another node) or
/// [`Interrupted`](ErrorKind::Interrupted) (it may have been executed).
#[derive(Debug, Clone)]
pub struct DemoClient {
    http: Http,
    timeout: Duration,
}

impl DemoClient {
    /// A client of the node whose HTTP port this is. It waits up to 8 s for an
    /// answer: longer than the 5 s that a node gives a call itself.
    pub fn new(http: SocketAddr) -> Self {
        Self {
            http: Http::new(http),
            timeout: Duration::from_secs(8),
        }
    }

    /// The same client with another limit for an answer. Connections are shared.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            http: self.http.clone(),
            timeout,
        }
    }

    /// The node's HTTP address.
    pub fn address(&self) -> SocketAddr {
        self.http.authority()
    }

    /// Adds one to a key's counter.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn inc(&self, key: &str) -> Result<CounterReply, Error> {
        self.inc_with(key, Inc::default()).await
    }

    /// Adds to a key's counter.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn inc_with(&self, key: &str, inc: Inc) -> Result<CounterReply, Error> {
        let path = match inc.by {
            1 => key_path(key, "/inc"),
            by => key_path(key, &format!("/inc?by={by}")),
        };
        let header = inc.request.map(|id| ("idempotency-key", id.to_string()));
        self.ask(Method::POST, &path, header).await
    }

    /// Reads a key's counter.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn get(&self, key: &str) -> Result<CounterReply, Error> {
        self.ask(Method::GET, &key_path(key, ""), None).await
    }

    /// Has one added to a key's counter at a time to come, in milliseconds of Unix time;
    /// answers with the counter as it is now.
    ///
    /// # Errors
    ///
    /// As the type says. It may be sent again: a key has one such reminder at a time.
    pub async fn remind(&self, key: &str, at_ms: u64) -> Result<CounterReply, Error> {
        let path = key_path(key, &format!("/remind?at={at_ms}"));
        self.ask(Method::POST, &path, None).await
    }

    /// Asks where a key runs.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn owner(&self, key: &str) -> Result<OwnerReply, Error> {
        self.ask(Method::GET, &key_path(key, "/owner"), None).await
    }

    /// Has a key's counter hibernate; answers whether it was running.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn stop(&self, key: &str) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Reply {
            stopped: bool,
        }
        let reply: Reply = self
            .ask(Method::POST, &key_path(key, "/stop"), None)
            .await?;
        Ok(reply.stopped)
    }

    /// Asks how many counters run, and where.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.ask(Method::GET, "/demo/cluster/stats", None).await
    }

    /// Asks which nodes there are, by name.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        #[derive(Deserialize)]
        struct Reply {
            members: Vec<Member>,
        }
        let reply: Reply = self.ask(Method::GET, "/demo/cluster/members", None).await?;
        Ok(reply.members)
    }

    /// Asks which counters would be moved, since they run elsewhere than they are placed.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn rebalance_plan(&self) -> Result<RebalancePlan, Error> {
        self.ask(Method::GET, "/demo/cluster/rebalance", None).await
    }

    /// Has counters moved that run elsewhere than they are placed, and waits for that.
    ///
    /// # Errors
    ///
    /// As the type says.
    pub async fn rebalance(&self) -> Result<Rebalanced, Error> {
        self.ask(Method::POST, "/demo/cluster/rebalance", None)
            .await
    }

    /// Asks whether the node serves; it is not ready when it refuses or can't be
    /// reached.
    ///
    /// # Errors
    ///
    /// As the type says, with why it is not ready.
    pub async fn ready(&self) -> Result<(), Error> {
        let answer = self
            .http
            .send(Method::GET, "/readyz", None, self.timeout)
            .await?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(self.refusal(&answer))
        }
    }

    /// Sends any request without a body, and gives the status and the body of the
    /// answer as they are: for requests that break the contract.
    ///
    /// # Errors
    ///
    /// Only when no answer came.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        header: Option<(&str, &str)>,
    ) -> Result<(u16, String), Error> {
        let method = Method::from_bytes(method.as_bytes()).map_err(|cause| {
            Error::new(ErrorKind::Protocol, format!("{method:?} is no method")).caused_by(cause)
        })?;
        let header = header.map(|(name, value)| (name, value.to_owned()));
        let answer = self.http.send(method, path, header, self.timeout).await?;
        Ok((
            answer.status,
            String::from_utf8_lossy(&answer.body).into_owned(),
        ))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, String)>,
    ) -> Result<T, Error> {
        let answer = self.http.send(method, path, header, self.timeout).await?;
        if answer.status != 200 {
            return Err(self.refusal(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|cause| {
            Error::new(
                ErrorKind::Protocol,
                format!(
                    "answer of {path}: {cause}: {:?}",
                    String::from_utf8_lossy(&answer.body)
                ),
            )
            .caused_by(cause)
        })
    }

    fn refusal(&self, answer: &Answer) -> Error {
        match parse_refusal(&answer.body) {
            Ok(body) => {
                let executed = match body.error.executed {
                    WireExecuted::No => Executed::No,
                    WireExecuted::Maybe => Executed::Maybe,
                    WireExecuted::Yes => Executed::Yes,
                };
                let ErrorBody {
                    code,
                    message,
                    retryable,
                    ..
                } = body.error;
                Error::refused(answer.status, code, message, retryable, executed)
            }
            Err(cause) => Error::new(
                ErrorKind::Protocol,
                format!(
                    "{} answered {} with no error in JSON: {:?}",
                    self.address(),
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                ),
            )
            .caused_by(cause),
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    message: String,
    retryable: bool,
    executed: WireExecuted,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireExecuted {
    No,
    Maybe,
    Yes,
}

fn parse_refusal(body: &[u8]) -> Result<Refusal, serde_json::Error> {
    serde_json::from_slice(body)
}

/// The path of a key. Everything but letters and digits is escaped, also dots: a
/// key may be `..`.
fn key_path(key: &str, rest: &str) -> String {
    format!(
        "/demo/keys/{}{rest}",
        utf8_percent_encode(key, NON_ALPHANUMERIC)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_whole() {
        assert_eq!(
            key_path("a/b ü..", "/inc"),
            "/demo/keys/a%2Fb%20%C3%BC%2E%2E/inc"
        );
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_and_nothing_was_executed() {
        let port = super::super::ports::Port::reserve().unwrap();
        let error = DemoClient::new(port.address()).inc("k").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (ErrorKind::Unreachable, Executed::No)
        );
        assert!(error.is_retryable());
    }

    #[tokio::test]
    async fn a_silent_node_may_have_executed_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client =
            DemoClient::new(listener.local_addr().unwrap()).with_timeout(Duration::from_millis(50));
        let error = client.inc("k").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (ErrorKind::Interrupted, Executed::Maybe)
        );
    }
}
