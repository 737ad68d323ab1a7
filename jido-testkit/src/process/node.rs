//! One node: a process with a name, two addresses and a log, that may live many times.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::{Child, Command};

use super::client::DemoClient;
use super::logs::Log;
use super::place::Place;
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// How often a node is asked whether it is ready.
const POLL: Duration = Duration::from_millis(50);

/// How long the end of a killed process is waited for. The system ends it within
/// milliseconds, unless it hangs in a disk that is gone.
const REAP: Duration = Duration::from_secs(5);

/// How long the threads of a paused process may take to stop: one that waits for a disk does
/// so when it has it.
const STOP: Duration = Duration::from_secs(10);

/// How often it is looked whether they have.
const STOP_POLL: Duration = Duration::from_millis(1);

/// What every node of a cluster is started with.
#[derive(Clone)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    /// Those of one node alone, by its name.
    pub(super) own_args: BTreeMap<String, Vec<OsString>>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) storage: String,
}

/// One node of a cluster, whether it runs or not.
#[derive(Debug)]
pub struct ProcessNode {
    name: String,
    place: Place,
    log: Log,
    client: DemoClient,
    child: Option<Child>,
}

impl ProcessNode {
    pub(super) fn new(name: String, logs: &Path, place: Place) -> Self {
        let client = DemoClient::new(place.http);
        let log = Log::new(logs.join(format!("{name}.log")));
        Self {
            name,
            place,
            log,
            client,
            child: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where other nodes reach it, as `IP:PORT`.
    pub fn peer_address(&self) -> String {
        self.place.peers.to_string()
    }

    /// A client of it, which works again after a restart.
    pub fn client(&self) -> &DemoClient {
        &self.client
    }

    /// What it wrote, in all its lives.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The id of its process, while that runs (or is paused).
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Starts the process, and waits for nothing.
    pub(super) fn launch(&mut self, launch: &Launch, seeds: &[String]) -> Result<(), Error> {
        if self.child.is_some() {
            return Err(self.error(ErrorKind::NoSuchNode, "runs already"));
        }
        let mut command = command(&launch.program, self.place.namespace.as_deref());
        command
            .args(&launch.args)
            .args(launch.own_args.get(&self.name).into_iter().flatten())
            .args(["--name", &self.name])
            .args(["--listen", &self.peer_address()])
            .args(["--http", &self.place.http.to_string()])
            .args(["--storage", &launch.storage]);
        for seed in seeds {
            command.args(["--seed", seed]);
        }
        let child = command
            .envs(launch.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(self.log.open()?)
            .stderr(self.log.open()?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| {
                self.error(
                    ErrorKind::Machine,
                    &format!("could not be started: {cause}"),
                )
                .caused_by(cause)
            })?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the node says that it is ready.
    pub(super) async fn wait_ready(&mut self, within: Duration) -> Result<(), Error> {
        let deadline = now() + within;
        let client = self.client.with_timeout(Duration::from_secs(1));
        loop {
            if let Some(status) = self.try_wait()? {
                return Err(self.error_with_log(
                    ErrorKind::Exited,
                    &format!("ended before it was ready ({status})"),
                ));
            }
            match client.ready().await {
                Ok(()) => return Ok(()),
                Err(error) if now() > deadline => {
                    return Err(self.error_with_log(
                        ErrorKind::TooSlow,
                        &format!("was not ready in {within:?} ({error})"),
                    ));
                }
                Err(_not_yet) => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn running(&self) -> Result<Pid, Error> {
        self.pid()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| self.error(ErrorKind::NoSuchNode, "does not run"))
    }

    /// Stops the process. The signal alone is not enough: until one of its threads takes it, others
    /// go on.
    pub(super) async fn pause(&self) -> Result<(), Error> {
        self.signal(Signal::STOP)?;
        let pid = self.running()?;
        let deadline = now() + STOP;
        // Looked at and left, so that the process's end is still there to be waited for.
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(pid), look) {
                Ok(Some(_stopped)) => return Ok(()),
                Ok(None) if now() > deadline => {
                    let what = format!("had not stopped after {STOP:?}");
                    return Err(self.error_with_log(ErrorKind::TooSlow, &what));
                }
                Ok(None) => tokio::time::sleep(STOP_POLL).await,
                Err(cause) => {
                    let what = format!("could not be waited for: {cause}");
                    return Err(self.error(ErrorKind::Machine, &what).caused_by(cause));
                }
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        kill_process(self.running()?, signal).map_err(|cause| {
            self.error(
                ErrorKind::Machine,
                &format!("could not be signalled: {cause}"),
            )
            .caused_by(cause)
        })
    }

    /// Waits for the process to end. One that takes longer goes on running.
    pub(super) async fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus, Error> {
        let Some(child) = &mut self.child else {
            return Err(self.error(ErrorKind::NoSuchNode, "does not run"));
        };
        match tokio::time::timeout(within, child.wait()).await {
            Ok(Ok(status)) => {
                self.child = None;
                Ok(status)
            }
            Ok(Err(cause)) => Err(self
                .error(
                    ErrorKind::Machine,
                    &format!("could not be waited for: {cause}"),
                )
                .caused_by(cause)),
            Err(_elapsed) => Err(self.error_with_log(
                ErrorKind::TooSlow,
                &format!("had not ended after {within:?}"),
            )),
        }
    }

    /// Kills the process, if it runs, and waits for its end.
    pub(super) async fn kill(&mut self) -> Result<(), Error> {
        self.signal(Signal::KILL)?;
        self.wait_killed().await
    }

    /// Waits for the end of a process that was sent SIGKILL.
    pub(super) async fn wait_killed(&mut self) -> Result<(), Error> {
        self.wait_exit(REAP).await.map(drop)
    }

    /// Sends the process SIGKILL, if it runs, and waits for nothing.
    pub(super) fn start_kill(&mut self) {
        if let Some(child) = &mut self.child {
            // It fails only for a process that has ended.
            let _ = child.start_kill();
        }
    }

    /// Waits, blocking the thread, for a process that was sent SIGKILL.
    #[allow(clippy::disallowed_methods, reason = "a drop can't await")]
    pub(super) fn reap(&mut self) {
        let deadline = now() + REAP;
        while let Some(Ok(None)) = self.child.as_mut().map(Child::try_wait) {
            if now() > deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child = None;
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        let Some(child) = &mut self.child else {
            return Err(self.error(ErrorKind::NoSuchNode, "does not run"));
        };
        let status = child.try_wait().map_err(|cause| {
            self.error(
                ErrorKind::Machine,
                &format!("could not be waited for: {cause}"),
            )
            .caused_by(cause)
        })?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("node {} {what}", self.name))
    }

    fn error_with_log(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(
            kind,
            format!(
                "node {} {what}; the end of its log:\n{}",
                self.name,
                self.log.tail()
            ),
        )
    }
}

/// A command in a process group of its own, so that a Ctrl-C in the terminal ends
/// the cluster through its owner alone, and which the system kills when the thread
/// that started it dies, where util-linux's `setpriv` is at hand to ask for that
/// (to ask for it between fork and exec would need unsafe code).
///
/// What stands before the program becomes it, so that the process is the program's.
fn command(program: &Path, namespace: Option<&str>) -> Command {
    let mut words: Vec<&OsStr> = Vec::new();
    if has_setpriv() {
        words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsStr::new));
    }
    if let Some(namespace) = namespace {
        words.extend(["ip", "netns", "exec", namespace].map(OsStr::new));
    }
    let mut words = words.into_iter().chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap_or(program.as_os_str()));
    command.args(words);
    command.process_group(0);
    command
}

fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        std::process::Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}
