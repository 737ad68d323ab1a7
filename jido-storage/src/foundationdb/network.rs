//! The client library's network thread: one for the whole process, started once.

use std::panic::catch_unwind;

use foundationdb::api::{FdbApiBuilder, NetworkAutoStop};
use parking_lot::Mutex;

use super::fault::Code;
use crate::{Error, ErrorKind};

/// What has become of the network thread.
enum Network {
    /// It runs, until its guard is dropped.
    Running {
        api_version: i32,
        _guard: NetworkAutoStop,
    },
    /// It could not be started, or has been stopped. The library never starts it again.
    Over(&'static str),
}

static NETWORK: Mutex<Option<Network>> = Mutex::new(None);

/// Starts the network thread, unless it runs.
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) when it runs under another API version, or the library has
/// no such version; [`Unavailable`](ErrorKind::Unavailable) when it could not be started.
pub(super) fn start(api_version: i32) -> Result<(), Error> {
    let mut network = NETWORK.lock();
    match &*network {
        None => {}
        Some(Network::Running {
            api_version: running,
            ..
        }) if *running == api_version => return Ok(()),
        Some(Network::Running {
            api_version: running,
            ..
        }) => {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "api_version is {api_version}: this process has chosen {running} already, and there is one a process"
                ),
            ));
        }
        Some(Network::Over(why)) => {
            return Err(Error::new(ErrorKind::Unavailable, *why));
        }
    }
    let (error, why) = match catch_unwind(|| boot(api_version)) {
        Ok(Ok(guard)) => {
            *network = Some(Network::Running {
                api_version,
                _guard: guard,
            });
            return Ok(());
        }
        Ok(Err(error)) => (
            error,
            "FoundationDB's client could not be started earlier in this process, and can be started once only",
        ),
        // The crate panics when the program has chosen a version by itself.
        Err(_) => (
            Error::new(
                ErrorKind::Unavailable,
                "FoundationDB's client can't be started: this program has started it by itself",
            ),
            "FoundationDB's client is started by this program itself, so that it can't be started here",
        ),
    };
    *network = Some(Network::Over(why));
    Err(error)
}

fn boot(api_version: i32) -> Result<NetworkAutoStop, Error> {
    let builder = FdbApiBuilder::default()
        .set_runtime_version(api_version)
        .build()
        .map_err(|error| {
            let why = Code::from(error).error(&format!("choosing API version {api_version}"));
            let newest = foundationdb::api::get_max_api_version();
            let message = format!("{why}; the client library has versions up to {newest}");
            Error::new(why.kind(), message)
        })?;
    // SAFETY: registered before the thread runs, so that there is no way out of
    // the process, but an abort, without it. Handlers run in reverse order: the
    // library's own, registered when it was loaded, come after this one.
    #[allow(
        unsafe_code,
        reason = "the C library's `atexit` is the one place that every orderly exit comes by"
    )]
    let registered = unsafe { libc::atexit(stop) };
    if registered != 0 {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "no handler for the exit of the process can be registered",
        ));
    }
    #[allow(
        unsafe_code,
        reason = "the crate asks that the thread is stopped before the process exits: `stop` is registered for that"
    )]
    let running = unsafe { builder.boot() };
    running.map_err(|error| Code::from(error).error("starting the network thread"))
}

/// Stops the network thread and waits for its end. Called by the C library when
/// the process exits.
extern "C" fn stop() {
    // Whoever holds the lock is starting the thread, and is cut off by the exit.
    if let Some(mut network) = NETWORK.try_lock() {
        *network = Some(Network::Over("the process is exiting"));
    }
}
