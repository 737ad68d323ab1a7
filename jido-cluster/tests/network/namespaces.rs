//! Two network namespaces with a cable between them, which can be made to lose all that arrives
//! at an end without a word.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// What is missing for namespaces, if anything is.
pub(crate) fn missing() -> Option<String> {
    let runs = |program: &str, arguments: &[&str]| {
        let quiet = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        quiet.is_ok_and(|status| status.success())
    };
    if !runs("nft", &["--version"]) {
        return Some("nft is not installed".to_owned());
    }
    let probe = name("probe");
    if !runs("ip", &["netns", "add", &probe]) {
        return Some("this user can't make them, or ip is not installed".to_owned());
    }
    let filters = runs(
        "ip",
        &[
            "netns", "exec", &probe, "nft", "add", "table", "inet", "jido",
        ],
    );
    let removed = runs("ip", &["netns", "del", &probe]);
    (!filters || !removed).then(|| "packets can't be filtered in them".to_owned())
}

/// A name of at most 15 bytes that no other test has.
fn name(what: &str) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("j{:x}{what}{number}", std::process::id())
}

fn run(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {arguments:?}: {error}");
}

/// The two namespaces, which are gone when it is dropped.
pub(crate) struct Namespaces {
    names: [String; 2],
}

impl Namespaces {
    pub(crate) fn new() -> Self {
        let all = Self {
            names: [name("a"), name("b")],
        };
        for name in &all.names {
            run(&["netns", "add", name]);
            run(&["-n", name, "link", "set", "lo", "up"]);
        }
        let [a, b] = &all.names;
        run(&[
            "-n", a, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", b,
        ]);
        for end in 0..2 {
            let name = &all.names[end];
            let address = format!("{}/24", all.address(end));
            run(&["-n", name, "address", "add", &address, "dev", "cable"]);
            run(&["-n", name, "link", "set", "cable", "up"]);
        }
        all
    }

    pub(crate) fn name(&self, end: usize) -> String {
        self.names[end].clone()
    }

    /// The address of an end.
    pub(crate) fn address(&self, end: usize) -> String {
        format!("10.77.0.{}", end + 1)
    }

    /// From now on nothing that is sent to an end arrives there, and nobody hears of it.
    pub(crate) fn deafen(&self, end: usize) {
        self.filter(end, &["add", "table", "inet", "jido"]);
        let chain =
            "add chain inet jido input { type filter hook input priority 0 ; policy drop ; }";
        let words: Vec<_> = chain.split(' ').collect();
        self.filter(end, &words);
    }

    /// What is sent to an end arrives again.
    pub(crate) fn heal(&self, end: usize) {
        self.filter(end, &["delete", "table", "inet", "jido"]);
    }

    fn filter(&self, end: usize, words: &[&str]) {
        let exec = ["netns", "exec", &self.names[end], "nft"];
        run(&[&exec, words].concat());
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was never made need not go.
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}
