use super::*;
use crate::process::builder::ATTEMPTS;

/// A cluster of one shell that runs `script`. What the cluster adds comes after it.
fn shell(script: &str) -> ProcessClusterBuilder {
    ProcessCluster::builder("/bin/sh")
        .nodes(1)
        .args(["-c", script])
}

/// A shell's answer to `GET /readyz` needs a server; these tests need only one that
/// doesn't answer, and so never becomes ready.
async fn started(script: &str) -> ProcessCluster {
    let dir = tempfile::tempdir().unwrap();
    let launch = shell(script).launch;
    let mut cluster = ProcessCluster::new(launch.clone(), Duration::from_secs(1), None, dir);
    cluster.new_node().unwrap();
    cluster.nodes[0].launch(&launch, &[]).unwrap();
    cluster
}

fn member(number: usize, leaving: bool) -> Member {
    Member {
        name: format!("n{number}"),
        incarnation: String::new(),
        address: String::new(),
        leaving,
        zone: None,
    }
}

#[test]
fn members_are_those_of_their_names_in_whatever_order() {
    let mut members: Vec<Member> = (1..=12).map(|number| member(number, false)).collect();
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(members[1].name, "n10");
    assert_eq!(staying(&members), names);
    members.push(member(13, true));
    assert_eq!(staying(&members), names);
    members.push(member(14, false));
    assert_ne!(staying(&members), names);
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim_start().starts_with('Z'))
        && !stat.is_empty()
}

#[tokio::test]
async fn a_node_that_ends_early_is_reported_with_its_log() {
    let error = shell("echo boom >&2; exit 7").start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exited);
    let text = error.to_string();
    assert!(
        text.contains("n1") && text.contains("boom") && text.contains('7'),
        "{text}"
    );
}

#[tokio::test]
async fn a_node_that_is_never_ready_is_reported_and_killed() {
    let builder = shell("echo mypid $$; exec sleep 60").ready_within(Duration::from_millis(200));
    let error = builder.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooSlow);
    let text = error.to_string();
    let pid = text
        .split("mypid ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    assert!(!is_alive(pid.parse().unwrap()));
}

#[tokio::test]
async fn an_address_in_use_is_tried_again_with_other_ports() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let script = format!(
        "echo x >>{}; echo 'Address already in use'; exit 1",
        seen.display()
    );
    let error = shell(&script).start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exited);
    assert_eq!(
        std::fs::read_to_string(seen).unwrap().lines().count(),
        ATTEMPTS
    );
}

#[tokio::test]
async fn a_missing_program_is_an_error() {
    let error = ProcessCluster::builder("/no/such/program")
        .nodes(1)
        .start()
        .await
        .unwrap_err();
    // Where `setpriv` runs it, it is `setpriv` that reports it.
    assert!(
        matches!(error.kind(), ErrorKind::Machine | ErrorKind::Exited),
        "{error}"
    );
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[tokio::test]
async fn nodes_are_paused_resumed_and_terminated_with_their_status() {
    let mut cluster =
        started("trap 'exit 4' TERM; echo trapped; while :; do sleep 0.01; done").await;
    wait_until(|| cluster.nodes[0].log().tail().contains("trapped")).await;
    let pid = cluster.nodes[0].pid().unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .chars()
            .next()
            .unwrap()
    };
    for _ in 0..2 {
        cluster.pause("n1").await.unwrap();
        assert_eq!(state(), 'T');
    }
    cluster.resume("n1").unwrap();
    wait_until(|| state() != 'T').await;
    let status = cluster
        .terminate("n1", Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(4));
    let error = cluster.kill("n1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchNode);
}

#[tokio::test]
async fn dropping_the_cluster_kills_paused_nodes_too() {
    let mut cluster = started("while :; do sleep 1; done").await;
    let pid = cluster.nodes[0].pid().unwrap();
    cluster.pause("n1").await.unwrap();
    assert!(is_alive(pid));
    drop(cluster);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn one_that_does_not_end_in_time_goes_on() {
    let mut cluster = started("trap '' TERM; echo trapped; while :; do sleep 0.01; done").await;
    wait_until(|| cluster.nodes[0].log().tail().contains("trapped")).await;
    let error = cluster
        .terminate("n1", Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooSlow);
    cluster.kill("n1").await.unwrap();
}

#[tokio::test]
async fn nodes_have_arguments_of_their_own_and_are_killed_together() {
    // Behind the script come its name, and the node's own arguments.
    let script = "echo zone $1; exec sleep 60";
    let builder = shell(script).args(["zoned"]);
    let builder = builder
        .args_of("n1", ["east"])
        .args_of("n2", ["west", "wing"]);
    let launch = builder.launch;
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::new(launch.clone(), Duration::from_secs(1), None, dir);
    for at in 0..2 {
        cluster.new_node().unwrap();
        cluster.nodes[at].launch(&launch, &[]).unwrap();
    }
    for (at, zone) in ["zone east", "zone west"].into_iter().enumerate() {
        wait_until(|| cluster.nodes[at].log().tail().contains(zone)).await;
    }
    let pids: Vec<u32> = cluster.nodes.iter().filter_map(ProcessNode::pid).collect();
    let names = ["n1", "n2"].map(str::to_owned);
    cluster.kill_together(&names).await.unwrap();
    assert_eq!(pids.len(), 2);
    assert!(!pids.into_iter().any(is_alive));
    let error = cluster.kill_together(&names).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchNode);
}

async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = crate::wiring::now() + Duration::from_secs(10);
    while !condition() {
        assert!(
            crate::wiring::now() < deadline,
            "it did not come about in 10 s"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
