//! A server of our own: a process that may live many times, and its folder.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::account::Account;
use super::children::signal_all;
use super::keeper::Keeper;
use super::programs;
use crate::process::Log;
use crate::process::ports::Port;
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// How often a server is asked whether it is ready, or has ended.
const POLL: Duration = Duration::from_millis(5);

/// How long a server may take to be ready (after a crash it reads its log first), or
/// to end.
const LIMIT: Duration = Duration::from_secs(60);

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Connections are ended, what they did is undone or complete, and all is
    /// written down.
    Fast,
    /// At once, as in a crash: the next start recovers from the log.
    Immediate,
}

/// What a server shows to those who connect over TLS, as PEM.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Who reaches a server, and how. By default those on loopback, in the clear.
#[derive(Clone, Default)]
pub(super) struct Access {
    pub(super) tls: Option<Tls>,
    /// Where it listens, if not at 127.0.0.1.
    pub(super) address: Option<IpAddr>,
}

/// A server's folder, port and process.
#[derive(Debug)]
pub(super) struct Server {
    account: Account,
    programs: PathBuf,
    settings: Vec<(String, String)>,
    host: IpAddr,
    folder: PathBuf,
    log: Log,
    port: Port,
    child: Option<Child>,
    keeper: Keeper,
}

impl Server {
    /// Makes a folder, with a keeper that removes it, and a port.
    pub(super) async fn new(settings: Vec<(String, String)>) -> Result<Self, Error> {
        let programs = programs::find()?;
        let account = Account::choose()?;
        let folder = new_folder()?;
        account.give(folder.path())?;
        let keeper = Keeper::start(
            account,
            &programs.join("pg_ctl"),
            &folder.path().join("data"),
            folder.path(),
        )?;
        // From here on the folder is the keeper's to remove.
        let folder = folder.keep();
        Ok(Self {
            log: Log::new(folder.join("log")),
            port: Port::reserve()?,
            account,
            programs,
            settings,
            host: Ipv4Addr::LOCALHOST.into(),
            folder,
            child: None,
            keeper,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Where it listens.
    pub(super) fn host(&self) -> IpAddr {
        self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port.address().port()
    }

    /// Lays down the data of a new server with a superuser `postgres`.
    pub(super) async fn init(&self, password: &str) -> Result<(), Error> {
        let file = self.folder.join("password");
        std::fs::write(&file, password)
            .map_err(|cause| machine("a file can't be written", cause))?;
        self.account.give(&file)?;
        let (data, password) = (self.data(), format!("--pwfile={}", file.display()));
        let mut command = self.account.command(self.program("initdb"), &self.folder);
        command
            .arg("--pgdata")
            .arg(data)
            // The folder needn't outlive the machine: only what the server itself
            // writes later is under test.
            .args(["--no-sync", "--username=postgres", &password])
            // In the clear on loopback: hashing it thousands of times over, as
            // scram-sha-256 has it, takes an unoptimized client 50 ms a connection.
            .args(["--auth=password", "--encoding=UTF8", "--locale=C"]);
        self.run("initdb", command).await?;
        std::fs::remove_file(file).map_err(|cause| machine("a file can't be removed", cause))
    }

    /// Says who reaches a server whose data is laid down.
    pub(super) fn admit(&mut self, access: &Access) -> Result<(), Error> {
        if let Some(address) = access.address {
            self.open_to_network(address)?;
        }
        access.tls.as_ref().map_or(Ok(()), |tls| self.secure(tls))
    }

    /// Has it listen at an address, for all who are on its network.
    fn open_to_network(&mut self, address: IpAddr) -> Result<(), Error> {
        self.host = address;
        let added = OpenOptions::new()
            .append(true)
            .open(self.rules())
            .and_then(|mut rules| rules.write_all(b"host all all samenet password\n"));
        added.map_err(|cause| machine("a server's rules can't be written", cause))
    }

    fn rules(&self) -> PathBuf {
        self.data().join("pg_hba.conf")
    }

    /// Has it take connections over TLS alone.
    fn secure(&mut self, tls: &Tls) -> Result<(), Error> {
        let written = |cause| machine("a server's certificate can't be written", cause);
        for (name, text) in [("server.crt", &tls.certificate), ("server.key", &tls.key)] {
            let path = self.data().join(name);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                // The server refuses a key that others may read.
                .mode(0o600)
                .open(&path)
                .map_err(written)?;
            file.write_all(text.as_bytes()).map_err(written)?;
            self.account.give(&path)?;
        }
        let rules = self.rules();
        let text = std::fs::read_to_string(&rules).map_err(written)?;
        let lines = text.lines().map(|line| match line.strip_prefix("host ") {
            Some(rest) => format!("hostssl {rest}\n"),
            None => format!("{line}\n"),
        });
        std::fs::write(&rules, lines.collect::<String>()).map_err(written)?;
        self.settings.extend(on_tls());
        Ok(())
    }

    /// The settings of TLS, for a server with a copy of this one's data.
    pub(super) fn tls_settings(&self) -> Vec<(String, String)> {
        let settings = self.settings.iter();
        settings
            .filter(|one| on_tls().contains(one))
            .cloned()
            .collect()
    }

    /// Lays down a copy of a running server's data, as a standby of it.
    pub(super) async fn copy(&self, of: &Server, password: &str) -> Result<(), Error> {
        let program = self.program("pg_basebackup");
        let mut command = self.account.command(program, &self.folder);
        command
            .arg("--pgdata")
            .arg(self.data())
            .args(["--username=postgres", "--no-password"])
            .arg(format!("--host={}", of.host()))
            .arg(format!("--port={}", of.port()))
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"])
            .env("PGPASSWORD", password);
        self.run("pg_basebackup", command).await
    }

    /// Runs a program of the server's to its end.
    async fn run(&self, name: &str, mut command: std::process::Command) -> Result<(), Error> {
        command.stdout(self.log.open()?).stderr(self.log.open()?);
        let status = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|cause| machine(&format!("{name} can't be run"), cause))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.error_with_log(ErrorKind::Machine, &format!("{name} failed ({status})")))
        }
    }

    /// Starts the process on its port and waits until it takes connections.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        if self.child.is_some() {
            return Err(Error::new(ErrorKind::NoSuchNode, "the server runs already"));
        }
        let mut command = self.account.command(self.program("postgres"), &self.folder);
        command.arg("-D").arg(self.data());
        let (host, port) = (self.host.to_string(), self.port().to_string());
        let own = [
            ("listen_addresses", &*host),
            ("port", &port),
            // A path in the folder could be too long for a socket.
            ("unix_socket_directories", ""),
            // Enough for tests; the default would take 128 MB a server.
            ("shared_buffers", "32MB"),
        ];
        let given = self
            .settings
            .iter()
            .map(|(name, value)| (&**name, &**value));
        for (name, value) in own.into_iter().chain(given) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdout(self.log.open()?).stderr(self.log.open()?);
        let child = command
            .spawn()
            .map_err(|cause| machine("postgres can't be started", cause))?;
        self.child = Some(child);
        self.wait(|server| match server.try_wait()? {
            Some(status) => Err(server.error_with_log(
                ErrorKind::Exited,
                &format!("the server ended before it was ready ({status})"),
            )),
            None => Ok(server.is_ready()),
        })
        .await
    }

    /// Whether the server says in its `postmaster.pid` that it takes connections:
    /// the last of eight lines, as `pg_ctl` reads them. The first one tells whether
    /// the file is of this life.
    fn is_ready(&self) -> bool {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pid = self.child.as_ref().map(|child| child.id().to_string());
        lines.first().copied() == pid.as_deref()
            && matches!(lines.get(7), Some(&("ready" | "standby")))
    }

    /// Stops the process and waits for its end.
    pub(super) async fn stop(&mut self, how: Shutdown) -> Result<(), Error> {
        let signal = match how {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        };
        kill_process(self.pid()?, signal).map_err(|cause| machine("a server's signal", cause))?;
        self.wait(|server| Ok(server.try_wait()?.is_some())).await
    }

    /// Sends a signal to the process and to all those that it started.
    pub(super) fn signal_all(&self, signal: Signal) -> Result<(), Error> {
        signal_all(self.pid()?, signal).map_err(|cause| machine("a server's signal", cause))
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn pid(&self) -> Result<Pid, Error> {
        self.child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| Error::new(ErrorKind::NoSuchNode, "the server does not run"))
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let status = child
            .try_wait()
            .map_err(|cause| machine("a server can't be waited for", cause))?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    async fn wait(
        &mut self,
        mut done: impl FnMut(&mut Self) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let deadline = now() + LIMIT;
        while !done(self)? {
            if now() > deadline {
                return Err(self.error_with_log(
                    ErrorKind::TooSlow,
                    &format!("the server was not done in {LIMIT:?}"),
                ));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn error_with_log(&self, kind: ErrorKind, what: &str) -> Error {
        let tail = self.log.tail();
        Error::new(kind, format!("{what}; the end of its log:\n{tail}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // There is nowhere to report it if stderr is gone.
            let _ = writeln!(
                std::io::stderr(),
                "---- the end of the Postgres server's log\n{}",
                self.log.tail()
            );
        }
        let child = &mut self.child;
        // The keeper waits for the process to be gone, and it is gone once we took
        // notice of its end.
        self.keeper.clean_up(|| {
            if let Some(running) = child
                && !matches!(running.try_wait(), Ok(None))
            {
                *child = None;
            }
        });
    }
}

fn on_tls() -> [(String, String); 1] {
    [("ssl".to_owned(), "on".to_owned())]
}

fn new_folder() -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix("jido-postgres-")
        .tempdir()
        .map_err(|cause| machine("no temporary directory", cause))
}

fn machine(what: &str, cause: impl Into<std::io::Error>) -> Error {
    let cause = cause.into();
    Error::new(ErrorKind::Machine, format!("{what}: {cause}")).caused_by(cause)
}
