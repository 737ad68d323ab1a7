use std::io::Write as _;
use std::process::Output;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Whether a test can't be done on this machine. The harness has no word for that and counts it as
/// passed: so it is said where the harness does not capture it.
fn is_skipped(test: &str) -> bool {
    let missing = Namespaces::missing();
    if let Some(why) = &missing {
        // With nowhere to write to, nobody is told.
        let _ = writeln!(
            std::io::stderr(),
            "\nskipped: {test}: no network namespaces: {why}"
        );
    }
    missing.is_some()
}

/// How a shell in a node's namespace fares that connects somewhere, and closes at once.
fn connect(network: &Namespaces, from: &str, to: (IpAddr, u16)) -> Output {
    let at = network.place_of(from).unwrap();
    let script = format!("exec 3<>/dev/tcp/{}/{}", to.0, to.1);
    let mut command = std::process::Command::new("timeout");
    command.args([
        "2",
        "ip",
        "netns",
        "exec",
        &network.names.nodes[at],
        "bash",
        "-c",
        &script,
    ]);
    command.output().unwrap()
}

fn reaches(network: &Namespaces, from: &str, to: SocketAddr) -> bool {
    connect(network, from, (to.ip(), to.port()))
        .status
        .success()
}

#[tokio::test]
async fn what_is_cut_is_cut_one_way_and_the_machine_sees_nothing_of_it() {
    if is_skipped("what_is_cut_is_cut_one_way_and_the_machine_sees_nothing_of_it") {
        return;
    }
    let links = || {
        std::fs::read_to_string("/proc/thread-self/net/dev")
            .unwrap()
            .lines()
            .count()
    };
    let at_home = links();
    let mut network = Namespaces::new(2).unwrap();
    let names: Vec<String> = network.names.all().cloned().collect();
    // Loopback, two bridges, and two cables of two nodes, under two lines of titles.
    assert_eq!(links(), 2 + 1 + 2 + 4);

    let storage = TcpListener::bind((network.storage(), 0)).await.unwrap();
    let to = storage.local_addr().unwrap();
    assert!(reaches(&network, "n1", to));
    for (from, end) in [
        (End::Node("n1"), End::Storage),
        (End::Storage, End::Node("n1")),
    ] {
        network.cut(from, end).unwrap();
        assert!(!reaches(&network, "n1", to), "{from:?} to {end:?}");
        assert!(reaches(&network, "n2", to), "{from:?} to {end:?}");
        network.heal().unwrap();
        assert!(reaches(&network, "n1", to));
    }

    // A port without a listener refuses: the answer takes both ways.
    let places = network.places();
    let refused = |from: &str, to: usize, network: &Namespaces| {
        let output = connect(network, from, (places[to].peers.ip(), 7000));
        String::from_utf8_lossy(&output.stderr).contains("refused")
    };
    assert!(refused("n1", 1, &network));
    network.cut(End::Node("n1"), End::Node("n2")).unwrap();
    assert!(!refused("n1", 1, &network));
    // HTTP is another network.
    let http = TcpStream::connect(places[1].http);
    let http = tokio::time::timeout(Duration::from_secs(10), http)
        .await
        .unwrap();
    assert_eq!(
        http.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    network.heal().unwrap();
    assert!(refused("n1", 1, &network));

    for nobody in ["n0", "n3", "x", "n"] {
        let error = network.cut(End::Node(nobody), End::Storage).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSuchNode);
    }
    drop(storage);
    drop(network);
    assert_eq!(links(), at_home);
    for name in names {
        assert!(
            !std::path::Path::new(&machine::path(&name)).exists(),
            "{name}"
        );
    }
}

#[test]
fn what_a_killed_process_left_is_removed() {
    if is_skipped("what_a_killed_process_left_is_removed") {
        return;
    }
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    let name = format!("jido-{}-0-hub", ended.id());
    assert!(ended.wait().unwrap().success());
    let made = std::process::Command::new("ip")
        .args(["netns", "add", &name])
        .status();
    assert!(made.unwrap().success());
    let network = Namespaces::new(1).unwrap();
    assert!(!std::path::Path::new(&machine::path(&name)).exists());
    for name in network.names.all() {
        assert!(std::path::Path::new(&machine::path(name)).exists());
    }
}
