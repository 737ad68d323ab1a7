//! When nodes found out that they have lost each other, by their logs.

use std::time::{Duration, SystemTime};

use jido_testkit::process::ProcessCluster;

use crate::cuts::Pair;

/// How long after a time the node said that its session with the other ended; none if it has not.
pub(crate) fn found_after(
    cluster: &ProcessCluster,
    (node, lost): Pair,
    since: SystemTime,
) -> Option<Duration> {
    let log = cluster.node(node).unwrap().log().text().unwrap();
    let ended = log.lines().filter_map(|line| {
        let (time, said) = line.split_once(' ')?;
        let of_it =
            said.contains("session with node ended") && said.contains(&format!("node={lost} "));
        let at = of_it.then(|| humantime::parse_rfc3339(time).ok())??;
        at.duration_since(since).ok()
    });
    ended.min()
}
