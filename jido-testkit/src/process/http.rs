//! HTTP/1.1 to one address, with connections kept for the next request.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::{Error, ErrorKind};

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Sends requests without a body. Clones share connections.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client<HttpConnector, Empty<Bytes>>,
    authority: SocketAddr,
}

impl Http {
    pub(super) fn new(authority: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(5))
            .build(connector);
        Self { client, authority }
    }

    pub(super) fn authority(&self) -> SocketAddr {
        self.authority
    }

    /// Sends a request and reads the answer, in at most `timeout`.
    ///
    /// A request that was put on a kept connection that turned out to be closed
    /// is sent again by the client below only if nothing of it was sent.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, String)>,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let target = format!("{method} http://{}{path}", self.authority);
        let uri: Uri = format!("http://{}{path}", self.authority)
            .parse()
            .map_err(|cause| {
                Error::new(ErrorKind::Protocol, format!("{target} is no URI")).caused_by(cause)
            })?;
        let mut request = Request::builder().method(method).uri(uri);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(|cause| {
            Error::new(ErrorKind::Protocol, format!("{target} is no request")).caused_by(cause)
        })?;

        let exchange = async {
            let response = self.client.request(request).await.map_err(|cause| {
                let kind = if cause.is_connect() {
                    ErrorKind::Unreachable
                } else {
                    ErrorKind::Interrupted
                };
                Error::new(kind, format!("{target}: {cause}")).caused_by(cause)
            })?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|cause| {
                Error::new(
                    ErrorKind::Interrupted,
                    format!("{target}: the answer broke off"),
                )
                .caused_by(cause)
            })?;
            Ok(Answer {
                status,
                body: body.to_bytes(),
            })
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Interrupted,
                    format!("{target}: no answer in {timeout:?}"),
                ))
            })
    }
}
