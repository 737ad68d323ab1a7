//! What `sim` tells of a violation, and that the command that it prints shows it again.

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

/// The lines that tell of violations.
fn violations(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.contains("at most once: key"))
        .collect()
}

#[test]
fn the_command_that_is_printed_shows_the_violation_again() {
    let (output, text) = sim(&["--plant=NoDeduplication", "--seeds=50", "--stop"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let command = text
        .lines()
        .find_map(|line| line.strip_prefix("see it again: "));
    let (_, arguments) = command.and_then(|c| c.split_once(" -- ")).unwrap();
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    assert!(
        arguments
            .iter()
            .any(|argument| argument.starts_with("--only-ops="))
    );

    let (output, replayed) = sim(&arguments);
    assert_eq!(output.status.code(), Some(1), "{replayed}");
    let (shrunk, again) = (violations(&text), violations(&replayed));
    assert!(!again.is_empty(), "{replayed}");
    assert!(
        again.iter().all(|line| shrunk.contains(line)),
        "{again:?}, {shrunk:?}"
    );
    // Event by event, up to the hash of all of them, and the same each time.
    assert!(replayed.lines().any(|line| line.contains("net n1.1 sends")));
    let (_, third) = sim(&arguments);
    assert_eq!(replayed, third);
}

#[test]
fn a_seed_without_violations_ends_well() {
    let (output, text) = sim(&["--seed=1", "--replay", "--ops=20"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.lines().last().unwrap().starts_with("seed 1: "),
        "{text}"
    );
    assert!(!text.contains("see it again"), "{text}");
}

#[test]
fn a_bug_of_no_name_is_refused() {
    let (output, _) = sim(&["--plant=Nothing"]);
    assert_eq!(output.status.code(), Some(2));
}
