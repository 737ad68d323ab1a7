//! What the programs `ip` and `nft` are told.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Error, ErrorKind};

/// Where named namespaces are.
const FOLDER: &str = "/run/netns";

/// What the names of ours begin with; the id of the process follows.
const PREFIX: &str = "jido-";

/// The storage's address. The ranges are those of the namespaces alone: they can't
/// collide with the machine's.
pub(super) const STORAGE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 253);

/// The hub's own address, which the nodes' clients come from.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);

/// Where a node is reached by others.
pub(super) fn peers_address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, last_byte(at))
}

/// Where it is reached by HTTP, and from where it reaches the storage.
pub(super) fn http_address(at: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, last_byte(at))
}

/// There are at most 200 nodes.
fn last_byte(at: usize) -> u8 {
    u8::try_from(at + 1).unwrap_or(u8::MAX)
}

/// The names of some namespaces.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) hub: String,
    pub(super) nodes: Vec<String>,
}

impl Names {
    pub(super) fn new(nodes: usize) -> Self {
        // A process may have had this one's id and have left some.
        let own = format!("{PREFIX}{}-{:08x}", std::process::id(), fastrand::u32(..));
        Self {
            hub: format!("{own}-hub"),
            nodes: (1..=nodes)
                .map(|number| format!("{own}-n{number}"))
                .collect(),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.nodes.iter().chain([&self.hub])
    }
}

/// Where a namespace can be opened.
pub(super) fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// What is missing to make namespaces, if anything is.
pub(super) fn missing() -> Option<String> {
    for program in ["ip", "nft"] {
        let asked = Command::new(program)
            .arg("-V")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if asked.is_err() {
            return Some(format!("{program} is not installed"));
        }
    }
    let probe = Names::new(1);
    let tried = make(&probe).and_then(|()| nft(&probe.nodes[0], super::rules::BASE));
    let removed = remove(probe.all());
    let refused = tried.and(removed).err()?;
    Some(format!("this user can't make them: {refused}"))
}

/// Makes the hub, and a namespace for each node with two cables to it.
pub(super) fn make(names: &Names) -> Result<(), Error> {
    for name in names.all() {
        ip(&["netns", "add", name], "")?;
    }
    let hub = &names.hub;
    ip(
        &["-n", hub, "-batch", "-"],
        &format!(
            "link set lo up\n\
             link add peers up type bridge\n\
             link add http up type bridge\n\
             address add {HUB}/24 dev http\n\
             address add {STORAGE}/24 dev http\n"
        ),
    )?;
    for (at, node) in names.nodes.iter().enumerate() {
        let cables = [("peers", peers_address(at)), ("http", http_address(at))];
        for (cable, address) in cables {
            let end = format!("{cable}{}", at + 1);
            ip(
                &["-n", hub, "-batch", "-"],
                &format!(
                    "link add {end} type veth peer name {cable} netns {node}\n\
                     link set {end} master {cable} up\n"
                ),
            )?;
            ip(
                &["-n", node, "-batch", "-"],
                &format!(
                    "link set lo up\n\
                     address add {address}/24 dev {cable}\n\
                     link set {cable} up\n"
                ),
            )?;
        }
    }
    Ok(())
}

/// Removes namespaces, with all that is in them; one that was never made need not go.
pub(super) fn remove<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    let mut outcome = Ok(());
    for name in names.filter(|name| Path::new(&path(name)).exists()) {
        outcome = outcome.and(ip(&["netns", "delete", name], ""));
    }
    outcome
}

/// Removes what processes that are gone have left.
pub(super) fn remove_leftovers() -> Result<(), Error> {
    // Without the folder there are none.
    let Ok(entries) = std::fs::read_dir(FOLDER) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another process may be at it, too.
            let _ = ip(&["netns", "delete", &name], "");
        }
    }
    Ok(())
}

/// The process whose namespace it is, if it is one of ours.
fn owner(name: &str) -> Option<u32> {
    let (pid, _rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

/// Has `nft` carry a script out in a namespace, whole or not at all.
pub(super) fn nft(namespace: &str, script: impl AsRef<str>) -> Result<(), Error> {
    ip(
        &["netns", "exec", namespace, "nft", "-f", "-"],
        script.as_ref(),
    )
}

fn ip(arguments: &[&str], input: &str) -> Result<(), Error> {
    let what = || format!("ip {} {input:?}", arguments.join(" "));
    let failed = |cause: std::io::Error| {
        Error::new(
            ErrorKind::Machine,
            format!("{} can't be run: {cause}", what()),
        )
        .caused_by(cause)
    };
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read all says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(
        ErrorKind::Machine,
        format!("{} failed: {}", what(), said.trim()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        let names = Names::new(2);
        for name in names.all() {
            assert_eq!(owner(name), Some(std::process::id()));
        }
        for other in ["jido-", "jido-x-1", "jido-12", "j1a0", "other-1-2"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
