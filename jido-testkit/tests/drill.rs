//! The program `drill` as it is called: what it refuses, and what it says first. Whole drills
//! are run where the nodes' program is built.

#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::process::{Command, Output};

fn drill(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_drill"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_plan_is_told_first_and_is_that_of_the_seed() {
    // Nodes that end at once: the drill can't be carried out, and says so.
    let of = |seed: &str| drill(&["--program=/bin/false", "--agents=3", "--seed", seed]);
    let (output, text) = of("7");
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(complaint(&output).contains("ended before it was ready"));
    assert!(
        text.starts_with("seed 7: zones a (n1), b (n2), c (n3)\n"),
        "{text}"
    );
    assert!(
        text.contains("3 agents") && text.contains("is killed after"),
        "{text}"
    );
    assert_eq!(of("7").1, text);
    assert_ne!(of("8").1, text);
}

#[test]
fn what_can_not_be_drilled_is_refused_by_name() {
    for (arguments, word) in [
        (["--zones=a", "--seed=1"], "zones"),
        (["--zones=a,b", "--kill=c"], "\"c\""),
        (["--agents=0", "--seed=1"], "agents"),
        (["--storage=memory", "--seed=1"], "memory"),
        (["--bound-moves=101", "--seed=1"], "bound-moves"),
        (["--takeover=never", "--seed=1"], "takeover"),
        (["--program=/no/such/file", "--seed=1"], "/no/such/file"),
    ] {
        let (output, text) = drill(&arguments);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(complaint(&output).contains(word), "{}", complaint(&output));
    }
}
