//! Rules for the members' manifests.

use toml::{Table, Value};

use crate::tree::{Finding, Tree};

/// The outside crates that a manifest's own code depends on, as Rust names, each
/// with its line. What only tests and build scripts need is left out.
pub(crate) fn dependencies(manifest: &str) -> Vec<(String, usize)> {
    let table: Table = manifest.parse().unwrap_or_default();
    let targets = table.get("target").and_then(Value::as_table);
    let of_targets = targets.into_iter().flat_map(|targets| targets.values());
    let tables = of_targets
        .filter_map(|target| target.get("dependencies"))
        .chain(table.get("dependencies"))
        .filter_map(Value::as_table);
    tables
        .flat_map(|table| table.iter())
        .map(|(key, value)| {
            // A renamed crate is still the crate.
            let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
            (package.replace('-', "_"), line_of(manifest, key))
        })
        .collect()
}

/// The first line that begins with the key, or the first line of all.
fn line_of(text: &str, key: &str) -> usize {
    let found = text.lines().position(|line| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
    });
    found.map_or(1, |place| place + 1)
}

/// Holds every member to the workspace's lints, and to words about itself.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in tree.members() {
        let file = format!("{member}/Cargo.toml");
        let text = tree.text(&file).unwrap_or_default();
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                findings.push(Finding::new(&file, 1, format!("is no TOML: {error}")));
                continue;
            }
        };
        let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            let message = "does not inherit the lints: add `[lints]` with `workspace = true`";
            findings.push(Finding::new(&file, 1, message));
        }
        let description = table
            .get("package")
            .and_then(|package| package.get("description"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        if description.split_whitespace().count() < 3 {
            let line = line_of(text, "description");
            let message = "says nothing of itself: write a `description` of a few words";
            findings.push(Finding::new(&file, line, message));
        }
        findings.extend(crate_docs(tree, member));
    }
    findings
}

fn crate_docs(tree: &Tree, member: &str) -> Option<Finding> {
    let file = format!("{member}/src/lib.rs");
    let first = tree.text(&file)?.lines().next().unwrap_or_default();
    let docs = first.starts_with("//!") || first.starts_with("#![doc");
    let message = "begins without crate docs: say in `//!` what the crate is for";
    (!docs).then(|| Finding::new(&file, 1, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\ndescription = \"What it is for\"\n\
        [lints]\nworkspace = true\n";

    #[test]
    fn a_member_that_says_all_passes() {
        let tree = Tree::of(&[("a/Cargo.toml", GOOD), ("a/src/lib.rs", "//! What for.\n")]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn a_member_without_lints_words_or_docs_is_refused() {
        let bare = "[package]\nname = \"a\"\ndescription = \"placeholder\"\n";
        let tree = Tree::of(&[("a/Cargo.toml", bare), ("a/src/lib.rs", "mod a;\n")]);
        let lines: Vec<_> = check(&tree)
            .into_iter()
            .map(|found| (found.file, found.line))
            .collect();
        let manifest = "a/Cargo.toml".to_owned();
        assert_eq!(
            lines,
            [
                (manifest.clone(), 1),
                (manifest, 3),
                ("a/src/lib.rs".to_owned(), 1)
            ]
        );
    }

    #[test]
    fn a_broken_manifest_is_refused() {
        let tree = Tree::of(&[("a/Cargo.toml", "[package]\nname = \n")]);
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn dependencies_are_those_of_the_code_itself() {
        let manifest = "[dependencies]\nrmp-serde = \"1\"\ndb = { package = \"sqlx\", version = \"1\" }\n\
            [target.'cfg(unix)'.dependencies]\nnix = \"1\"\n[dev-dependencies]\ntokio = \"1\"\n";
        let mut found = dependencies(manifest);
        found.sort();
        let expected = [
            ("nix".into(), 5),
            ("rmp_serde".into(), 2),
            ("sqlx".into(), 3),
        ];
        assert_eq!(found, expected);
    }
}
