//! The demo node: an HTTP server around one manager of counters.
//!
//! | request | answer |
//! |---|---|
//! | `POST /demo/keys/{key}/inc[?by=N]` | `{"key","value","node","owner","epoch","revision"}` |
//! | `POST /demo/keys/{key}/cast[?by=N]` | 202 `{"key","node","taken"}`, once the counter has taken it |
//! | `GET /demo/keys/{key}` | as after `inc` |
//! | `POST /demo/keys/{key}/remind?at=MS[&by=N]` | as after `inc`: `N` is added once, at that time, in ms of Unix time |
//! | `GET /demo/keys/{key}/owner` | `{"key","node","owner","placed"}` |
//! | `POST /demo/keys/{key}/stop` | `{"key","stopped"}` |
//! | `GET /demo/cluster/stats` | `{"by_node":{..},"total":N}` |
//! | `GET /demo/cluster/members` | `{"members":[{"name","incarnation","address","leaving","healthy","zone"}]}` |
//! | `GET /demo/cluster/rebalance` | `{"moves":[{"key","from","to","reason"}],"more","unanswered":[..]}`: what would be moved |
//! | `POST /demo/cluster/rebalance` | `{"by","succeeded","failed","skipped","storage_not_shared","more"}`: moves up to `--max-migrations` |
//! | `GET /demo/node/network` | what became of the node's connections, by count: `{"accepted","wrong_cookie",..}` |
//! | `GET /metrics` | the node's metrics, as Prometheus reads them; `docs/telemetry.md` lists them |
//! | `GET /healthz`, `GET /readyz` | `{"status"}` |
//!
//! `node` is the node that was asked, `owner` the one that the counter runs on, or
//! while it sleeps the one where it is placed.
//! A request's header `Idempotency-Key`, a UUID, is its identity: `inc`, `cast` and `remind` are applied once under it.
//! The headers `traceparent` and `tracestate` go along to the counter. Errors are `{"error":{"code","message","retryable","executed"}}`; see
//! [`errors`] for their codes.
//!
//! The program ends with 0 after SIGTERM or SIGINT, with 1 when it could not start
//! or drain, with 2 when it was started with options that can't work, and with 3
//! when the cluster declared the node dead and another has its name since. A node that
//! was declared dead and still has its name goes on in a new life.

pub mod counter;
mod discovery;
pub mod errors;
mod http;
mod metrics;
pub mod options;
mod program;
mod rebalancing;
mod security;
mod state;
mod stores;

pub use program::run;
