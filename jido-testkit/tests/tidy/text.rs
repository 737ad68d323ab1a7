//! Rules for every text file: it speaks of the project alone, and its examples
//! are compiled.

use crate::tree::{Finding, Tree};

/// What no file says, and why; spelt apart so that this file keeps its own rule.
const UNSAID: [(&str, &str); 5] = [
    (concat!("/wo", "rk/"), "is a path of one machine"),
    (concat!("/ro", "ot/"), "is a path of one machine"),
    (concat!("/ho", "me/"), "is a path of one machine"),
    (concat!("sha", "red/"), "is no part of the project"),
    (concat!("issue", " #"), "points out of the project"),
];

/// Holds every text file to the rules.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.files() {
        let documents = file.ends_with(".md") || file.ends_with(".rs");
        for (line, text) in (1..).zip(text.lines()) {
            let lower = text.to_lowercase();
            for (word, reason) in UNSAID {
                if lower.contains(word) {
                    let message = format!("`{word}` {reason}: say it without");
                    findings.push(Finding::new(file, line, message));
                }
            }
            if documents && is_ignored_example(text) {
                let message = "an example that is not compiled goes stale: mend it, use `no_run`, \
                               or `text` where it is no Rust";
                findings.push(Finding::new(file, line, message));
            }
        }
    }
    findings
}

/// Whether a line opens an example, in Markdown or in a doc comment, that is
/// marked `ignore`.
fn is_ignored_example(line: &str) -> bool {
    let text = line.trim_start_matches(|letter: char| {
        letter.is_whitespace() || matches!(letter, '/' | '!' | '*')
    });
    let Some(marks) = text.strip_prefix("```") else {
        return false;
    };
    marks
        .split([',', ' '])
        .any(|mark| mark == "ignore" || mark.starts_with("ignore-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_on_the_project_passes() {
        let text = "//! ```no_run\n//! homework/\n//! ```\nissues # one\n";
        assert_eq!(check(&Tree::of(&[("a.rs", text)])), []);
    }

    #[test]
    fn words_from_outside_are_refused_in_any_file() {
        for (word, _) in UNSAID {
            let text = format!("fine\nsee {}x\n", word.to_uppercase());
            let found = check(&Tree::of(&[("scripts/check", text.as_str())]));
            assert_eq!(found.len(), 1, "{word}");
            assert_eq!(found[0].line, 2);
        }
    }

    #[test]
    fn an_example_that_is_not_compiled_is_refused() {
        for line in [
            "/// ```ignore",
            "//! ```rust,ignore",
            "```rust,ignore",
            " * ```ignore-wasm",
        ] {
            let found = check(&Tree::of(&[("a.rs", line)]));
            assert_eq!(found.len(), 1, "{line}");
        }
        let found = check(&Tree::of(&[("a.toml", "```ignore")]));
        assert_eq!(found, []);
    }
}
