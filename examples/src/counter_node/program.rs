//! The program: start, serve, drain.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jido_cluster::placement::ZoneAware;
use jido_cluster::{Error, ErrorKind, InstanceManager, Node, Reads, Takeover};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use super::counter::Counter;
use super::http::router;
use super::metrics::Metrics;
use super::options::{NodeOptions, ReadsOption, TakeoverOption};
use super::security::Reloader;
use super::state::{Serving, State};
use super::stores::{self, StoreError};

/// How long a node that was told to end goes on serving before it drains, while it
/// says that it is not ready: load balancers need to find out first.
const LAME_DUCK: Duration = Duration::from_millis(500);

/// How long requests that are under way may take once the node has drained.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// When a node that was told to end gives up on doing so in order. Whoever
/// sent the signal is promised 15 s.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(14);

/// What is logged unless the environment says otherwise. The session layer's
/// comings and goings are told by the transport too, in fewer words.
const DEFAULT_LOG: &str = "info,ractor=warn,ractor_cluster=error";

const FAILED: u8 = 1;
const BAD_OPTIONS: u8 = 2;
const REPLACED: u8 = 3;

/// An end of the program that isn't a good one.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn start(what: &str, error: &Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidInput => BAD_OPTIONS,
            _ => FAILED,
        };
        Self::new(code, format!("{what} could not start: {error}"))
    }
}

/// Runs a node until it is told to end, and gives the program's exit code.
pub fn run(options: NodeOptions) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    // Before the node, which looks its metrics up when it starts.
    let metrics = match Metrics::install() {
        Ok(metrics) => metrics,
        Err(error) => return end(Err(Failure::new(FAILED, format!("no metrics: {error}")))),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Failure::new(FAILED, format!("no runtime: {error}")))),
    };
    let code = end(runtime.block_on(node(options, metrics)));
    // What still runs has nothing to say any more.
    runtime.shutdown_background();
    code
}

fn log_filter() -> EnvFilter {
    ["JIDO_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|variable| EnvFilter::try_from_env(variable).ok())
        .unwrap_or_else(|| EnvFilter::new(DEFAULT_LOG))
}

fn end(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => {
            tracing::info!("the node has ended");
            ExitCode::SUCCESS
        }
        Err(Failure { code, message }) => {
            tracing::error!("{message}");
            ExitCode::from(code)
        }
    }
}

async fn node(options: NodeOptions, metrics: Metrics) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(options.http)
        .await
        .map_err(|error| Failure::new(FAILED, format!("--http {}: {error}", options.http)))?;
    let state = Arc::new(State::new(options.name.clone(), metrics.clone()));
    let (close, closed) = oneshot::channel::<()>();
    let server = axum::serve(listener, router(Arc::clone(&state)))
        .with_graceful_shutdown(async move {
            // A sender that is gone means the same.
            let _ = closed.await;
        })
        .into_future();
    let lifecycle = async {
        let serving = tokio::select! {
            biased;
            () = signals.next() => return Ok(()),
            started = start(&options) => started?,
        };
        let (serving, mut reloader) = serving;
        let node = serving.node.clone();
        state.serve(serving);
        tracing::info!(name = %options.name, listen = %options.listen, http = %options.http, "the node serves");
        tokio::select! {
            biased;
            () = signals.next() => {}
            () = reloader.run() => {}
            () = metrics.keep_up() => {}
            _by_itself = node.ended() => {
                return Err(Failure::new(REPLACED, "the cluster declared the node dead, and another has its name"));
            }
        }
        state.drain();
        tokio::select! {
            biased;
            drained = shut_down(&node) => drained,
            () = signals.next() => Err(Failure::new(FAILED, "told again to end: left at once")),
        }
    };
    serve_while(server, close, lifecycle).await
}

/// Answers HTTP until `lifecycle` has ended, and then the requests that are under way.
async fn serve_while(
    server: impl Future<Output = std::io::Result<()>>,
    close: oneshot::Sender<()>,
    lifecycle: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut server = std::pin::pin!(server);
    tokio::select! {
        biased;
        outcome = lifecycle => outcome?,
        outcome = &mut server => {
            let why = outcome.err().map(|error| error.to_string()).unwrap_or_default();
            return Err(Failure::new(FAILED, format!("HTTP has ended: {why}")));
        }
    }
    drop(close);
    if tokio::time::timeout(LAST_REQUESTS, server).await.is_err() {
        tracing::warn!("connections that stayed open were cut");
    }
    Ok(())
}

async fn start(options: &NodeOptions) -> Result<(Serving, Reloader), Failure> {
    let storage = stores::open(&options.storage.0)
        .await
        .map_err(|error| match error {
            StoreError::Option(message) => Failure::new(BAD_OPTIONS, message),
            StoreError::Open(message) => Failure::new(FAILED, message),
        })?;
    let cookie = std::env::var("JIDO_COOKIE")
        .ok()
        .filter(|cookie| !cookie.is_empty())
        .ok_or_else(|| Failure::new(BAD_OPTIONS, "JIDO_COOKIE is not set: it holds the cookie"))?;

    let tls = options
        .security
        .tls()
        .map_err(|error| Failure::new(BAD_OPTIONS, error.to_string()))?;
    let reloader = Reloader::new(tls.clone())
        .map_err(|error| Failure::new(FAILED, format!("no signals: {error}")))?;
    let mut node = Node::builder(options.name.as_str())
        .cluster(options.cluster.as_str())
        .listen(options.listen)
        .cookie(cookie)
        .seeds(options.seeds.iter().map(ToString::to_string))
        .lease_ttl(options.lease_ttl);
    if let Some(zone) = &options.zone {
        node = node.zone(zone);
    }
    let node = options
        .security
        .apply(options.discovery.apply(node), tls.as_ref())
        .start()
        .await
        .map_err(|error| Failure::start("the node", &error))?;
    let mut counters = InstanceManager::<Counter>::builder("counters")
        .shared_storage(storage)
        .idle_timeout(options.idle_timeout)
        .takeover(match options.takeover {
            TakeoverOption::AfterLease => Takeover::AfterLease,
            TakeoverOption::OnDisconnect => Takeover::OnDisconnect,
        });
    let reads = match (options.reads, options.takeover) {
        (Some(ReadsOption::Leased), _) => Some(Reads::Leased),
        (Some(ReadsOption::Local), _) => Some(Reads::Local),
        (Some(ReadsOption::Strict), _) | (None, TakeoverOption::OnDisconnect) => {
            Some(Reads::Strict)
        }
        (None, TakeoverOption::AfterLease) => None,
    };
    if let Some(reads) = reads {
        counters = counters.reads(reads);
    }
    if !options.preferred_zones.is_empty() {
        counters = counters.placement(ZoneAware::any_of(&options.preferred_zones));
    }
    if let Some(interval) = options.rebalance_interval {
        counters = counters.rebalance_interval(interval);
    }
    if let Some(limit) = options.max_migrations {
        counters = counters.max_migrations(limit as usize);
    }
    let counters = counters
        .start(&node)
        .await
        .map_err(|error| Failure::start("the counters", &error))?;
    Ok((Serving { node, counters }, reloader))
}

async fn shut_down(node: &Node) -> Result<(), Failure> {
    tracing::info!("told to end: draining");
    let drain = async {
        tokio::time::sleep(LAME_DUCK).await;
        node.drain().await;
    };
    tokio::time::timeout(SHUTDOWN_LIMIT.saturating_sub(LAST_REQUESTS), drain)
        .await
        .map_err(|_| Failure::new(FAILED, format!("not drained within {SHUTDOWN_LIMIT:?}")))
}

/// SIGTERM and SIGINT.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(FAILED, format!("no signals: {error}")))
        };
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
