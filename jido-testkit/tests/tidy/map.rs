//! The map of files: what ARCHITECTURE.md names is there, and what is there is
//! named.

use std::collections::BTreeSet;

use crate::document::{self, DOCUMENT};
use crate::tree::{Finding, Tree};

const TITLE: &str = "Map of files";

/// Holds the map against the tree, and the tree against the map.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(DOCUMENT).unwrap_or_default();
    let Some(lines) = document::section(text, TITLE) else {
        let message = format!("has no section `## {TITLE}`: write what each file is for");
        return vec![Finding::new(DOCUMENT, 1, message)];
    };
    let mut findings = Vec::new();
    let mut mapped = BTreeSet::new();
    let mut folder = String::new();
    for (line, text) in lines {
        if let Some(heading) = text.strip_prefix("### ") {
            // A heading without a crate's name speaks of the root.
            let member = document::named(heading).into_iter().next();
            folder = member.map_or_else(String::new, |member| format!("{}/", member.name));
        }
        let Some(item) = text.strip_prefix("- ") else {
            continue;
        };
        let (head, _) = item.split_once(": ").unwrap_or((item, ""));
        for named in document::named(head) {
            let path = format!("{folder}{}", named.name);
            let message = match (tree.has(&path), named.planned) {
                (true, true) => {
                    let message = format!("`{path}` is there already: take `(planned)` away");
                    mapped.insert(path);
                    message
                }
                (false, false) => {
                    format!("`{path}` does not exist: take it from the map, or mark it `(planned)`")
                }
                // What is planned covers nothing that is there.
                (false, true) => continue,
                (true, false) => {
                    mapped.insert(path);
                    continue;
                }
            };
            findings.push(Finding::new(DOCUMENT, line, message));
        }
    }
    for (file, message) in unmapped(tree, &mapped) {
        findings.push(Finding::new(&file, 1, message));
    }
    findings
}

/// The modules at the top of each member's source, and its programs, that the
/// map does not name.
fn unmapped(tree: &Tree, mapped: &BTreeSet<String>) -> Vec<(String, String)> {
    let mut missing = BTreeSet::new();
    for member in tree.members() {
        let source = format!("{member}/src/");
        for (file, _) in tree.rust_files() {
            let Some(inner) = file.strip_prefix(&source) else {
                continue;
            };
            let programs = inner.strip_prefix("bin/");
            let name = match programs.unwrap_or(inner).split('/').next() {
                Some("lib.rs" | "main.rs") | None => continue,
                Some(name) => name.strip_suffix(".rs").unwrap_or(name),
            };
            let module = match programs {
                Some(_) => format!("{source}bin/{name}"),
                None => format!("{source}{name}"),
            };
            // Its file or its folder, whichever the map names, covers both.
            let named = [format!("{module}.rs"), format!("{module}/")];
            if !named.iter().any(|path| mapped.contains(path)) {
                missing.insert((member, module, file));
            }
        }
    }
    let mut reported = BTreeSet::new();
    let messages = missing.into_iter().filter_map(|(_, module, file)| {
        let message =
            format!("the map in {DOCUMENT} does not name `{module}`: add a line on what it is for");
        reported.insert(module).then(|| (file.to_owned(), message))
    });
    messages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) = ("a/Cargo.toml", "[package]\n");

    fn findings(map: &str, files: &[&str]) -> Vec<String> {
        let document = format!("## {TITLE}\n\n{map}\n");
        let mut tree = vec![MANIFEST, (DOCUMENT, document.as_str())];
        tree.extend(files.iter().map(|file| (*file, "")));
        let findings = check(&Tree::of(&tree));
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_map_that_names_all_and_no_more_passes() {
        let map = "### `a`\n\n- `src/one.rs`, `src/two/`: two ideas\n- `src/bin/go.rs`: runs\n\
            - `src/three/` (planned): later\n### Around\n\n- `b.toml`: at the root";
        let files = [
            "a/src/lib.rs",
            "a/src/one.rs",
            "a/src/one/tests.rs",
            "a/src/two.rs",
            "a/src/two/deep.rs",
            "a/src/bin/go.rs",
            "b.toml",
        ];
        let found = findings(map, &files);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_file_that_is_gone_is_refused() {
        let found = findings("### `a`\n\n- `src/gone.rs`: old", &[]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("ARCHITECTURE.md:5: `a/src/gone.rs` does not exist"),
            "{found:?}"
        );
    }

    #[test]
    fn a_module_or_program_without_a_line_is_refused_once() {
        let files = [
            "a/src/new/one.rs",
            "a/src/new/two.rs",
            "a/src/bin/run/main.rs",
        ];
        let found = findings("### `a`\n", &files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`a/src/bin/run`"), "{found:?}");
        assert!(found[1].contains("`a/src/new`"), "{found:?}");
    }

    #[test]
    fn a_plan_come_true_is_refused() {
        let found = findings(
            "### `a`\n\n- `src/one.rs` (planned): soon",
            &["a/src/one.rs"],
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("take `(planned)` away"), "{found:?}");
    }

    #[test]
    fn a_plan_for_a_folder_does_not_cover_the_file() {
        let found = findings("### `a`\n\n- `src/one/` (planned): soon", &["a/src/one.rs"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("does not name `a/src/one`"), "{found:?}");
    }

    #[test]
    fn a_document_without_a_map_is_refused() {
        assert_eq!(check(&Tree::of(&[(DOCUMENT, "# A\n")])).len(), 1);
    }
}
