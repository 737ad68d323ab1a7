//! Holds the workspace's files to the project's own rules.
//!
//! ARCHITECTURE.md is the source of two of them, its import table and its map of
//! files, and is read here; CONTRIBUTING.md tells the others. Each module
//! holds one group of rules as functions from texts to findings, so that the same
//! functions are tried on made-up texts that they have to refuse.

mod document;
mod imports;
mod manifests;
mod map;
mod rust;
mod text;
mod tokens;
mod tree;

use std::fmt::Write as _;

use tree::{Finding, Tree};

/// Fails with every finding at once, one a line.
fn hold(findings: &[Finding]) {
    let mut report = String::new();
    for finding in findings {
        let _ = writeln!(report, "  {finding}");
    }
    assert!(
        findings.is_empty(),
        "{} finding(s):\n{report}",
        findings.len()
    );
}

#[test]
fn only_the_files_of_the_import_table_name_an_outside_crate() {
    let tree = Tree::of_workspace().unwrap();
    hold(&imports::check(&tree));
}

#[test]
fn the_map_of_files_is_the_tree() {
    let tree = Tree::of_workspace().unwrap();
    hold(&map::check(&tree));
}

#[test]
fn rust_files_keep_the_rules() {
    let tree = Tree::of_workspace().unwrap();
    for note in rust::long_files(&tree) {
        println!("{note}");
    }
    hold(&rust::check(&tree));
}

#[test]
fn text_files_speak_of_the_project_alone() {
    let tree = Tree::of_workspace().unwrap();
    hold(&text::check(&tree));
}

#[test]
fn every_member_inherits_the_lints_and_says_what_it_is() {
    let tree = Tree::of_workspace().unwrap();
    hold(&manifests::check(&tree));
}
