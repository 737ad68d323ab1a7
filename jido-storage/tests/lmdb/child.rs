//! Other processes: this test binary once more, in a role, telling its parent
//! line by line on stderr what was acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use jido_core::{
    AgentId, AgentKey, ClusterName, Epoch, Incarnation, ManagerName, NodeName, Timestamp,
};
use jido_storage::{ClaimOutcome, ClaimRequest, NodeRegistration, Storage};

use super::kill::Tells;

const ROLE: &str = "JIDO_TEST_ROLE";
const FOLDER: &str = "JIDO_TEST_FOLDER";
const NUMBER: &str = "JIDO_TEST_NUMBER";

/// A process that is killed when its test is done with it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Option<Lines<BufReader<ChildStderr>>>,
}

impl Process {
    /// Starts this binary in a role.
    pub(crate) fn start(role: &str, folder: &Path, number: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child::in_a_role", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(FOLDER, folder)
            .env(NUMBER, number.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            lines: Some(lines),
        }
    }

    /// The next line that it tells, unless it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.as_mut()?.next().map(Result::unwrap)
    }

    /// What it tells, for a thread of its own to read.
    pub(crate) fn take_lines(&mut self) -> Lines<BufReader<ChildStderr>> {
        self.lines.take().expect("its lines are read once")
    }

    /// Ends it as a power cut would: SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// What it still tells until its end.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }

    /// Waits for its end, which has to be a good one.
    pub(crate) fn succeed(mut self) {
        let rest = self.rest();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a child ended with {status}: {rest:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Tells the parent a line. One write, which a kill does not tear.
pub(crate) fn tell(line: &str) {
    std::io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// Does nothing unless a parent gave it a role.
#[test]
fn in_a_role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let number: u64 = std::env::var(NUMBER).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match role.as_str() {
        "append" => runtime.block_on(crate::kill::child(&folder, number, Tells::Acknowledged)),
        "append-hastily" => runtime.block_on(crate::kill::child(&folder, number, Tells::Begun)),
        "grow" => runtime.block_on(crate::growth::child(&folder, number)),
        "reserve" => runtime.block_on(crate::reserve::child(&folder, number)),
        "write" => runtime.block_on(crate::waiting::child(&folder, number)),
        "hold" => crate::locks::child(&folder, number),
        other => panic!("no role {other}"),
    }
}

pub(crate) fn cluster() -> ClusterName {
    ClusterName::new("test").unwrap()
}

pub(crate) fn id(key: &str) -> AgentId {
    AgentId::new(
        cluster(),
        ManagerName::new("agents").unwrap(),
        AgentKey::new(key).unwrap(),
    )
}

/// Registers a node of its own for a process.
pub(crate) async fn register(storage: &dyn Storage, number: u64) -> Incarnation {
    let incarnation = Incarnation(u128::from(number) + 1);
    let node = NodeRegistration {
        cluster: cluster(),
        name: NodeName::new(format!("n{number}")).unwrap(),
        incarnation,
        address: String::new(),
        metadata: BTreeMap::new(),
        at: Timestamp(1),
    };
    storage.register_node(node).await.unwrap();
    incarnation
}

/// Claims an agent, from whoever owns it.
pub(crate) async fn take(storage: &dyn Storage, id: &AgentId, me: Incarnation) -> Epoch {
    let mut take_from = None;
    loop {
        let claim = ClaimRequest {
            id: id.clone(),
            claimant: me,
            take_from,
            at: Timestamp(2),
        };
        match storage.claim(claim).await.unwrap() {
            ClaimOutcome::Claimed(epoch) => return epoch,
            ClaimOutcome::Held { owner, .. } => take_from = Some(owner),
            ClaimOutcome::ClaimantDead => panic!("the claimant is registered"),
        }
    }
}

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
