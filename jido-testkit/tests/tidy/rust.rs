//! Rules for every Rust file: its size, the order of `select!`, and what must not
//! be left in it.

use crate::tokens::{self, Kind, Token};
use crate::tree::{Finding, Tree};

/// A file beyond this many lines is refused.
const MOST_LINES: usize = 400;

/// Most files stay below this many; those beyond are listed.
const FEW_LINES: usize = 300;

/// Tests beyond this many lines go to a file beside.
const MOST_TEST_LINES: usize = 200;

/// Words that put work off, spelt apart so that this file keeps its own rule.
const PUT_OFF: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Files of more lines than most should have, for whoever looks for one to part.
pub(crate) fn long_files(tree: &Tree) -> Vec<String> {
    let long = tree.rust_files().filter_map(|(file, text)| {
        let lines = text.lines().count();
        (lines > FEW_LINES).then(|| format!("{file}: {lines} lines, more than most"))
    });
    long.collect()
}

/// Holds every Rust file to the rules.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, text) in tree.rust_files() {
        findings.extend(check_file(file, text));
    }
    findings
}

fn check_file(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |line: usize, message: String| {
        findings.push(Finding::new(file, line, message));
    };
    let lines = text.lines().count();
    if lines > MOST_LINES {
        let message = format!("has {lines} lines, {MOST_LINES} are the most: part it by its ideas");
        report(MOST_LINES + 1, message);
    }
    for (line, text) in (1..).zip(text.lines()) {
        for word in PUT_OFF {
            if has_word(text, word) {
                report(
                    line,
                    format!("puts work off with {word}: do it, or leave it out"),
                );
            }
        }
    }
    match tokens::tokens(text) {
        Ok(tokens) => {
            for place in 0..tokens.len() {
                for (line, message) in check_at(&tokens, place) {
                    report(line, message);
                }
            }
        }
        Err((line, error)) => report(line, format!("is no Rust: {error}")),
    }
    findings
}

/// The rules that begin at one token.
fn check_at(tokens: &[Token], place: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let token = &tokens[place];
    let follows = |by: usize| tokens.get(place + by);
    let is_macro = follows(1).is_some_and(|t| t.is_mark('!'))
        && follows(2).is_some_and(|t| matches!(t.kind, Kind::Open(_)));
    if is_macro && token.is_word("select") {
        let biased = follows(3).is_some_and(|t| t.is_word("biased"))
            && follows(4).is_some_and(|t| t.is_mark(';'));
        if !biased {
            let message = "`select!` without `biased;` first: its order would be random; write \
                           `biased;` and put the branches in the order that they matter";
            found.push((token.line, message.to_owned()));
        }
    }
    for name in [concat!("to", "do"), "unimplemented"] {
        if is_macro && token.is_word(name) {
            let message = format!("`{name}!` is no code: write it, or leave it out");
            found.push((token.line, message));
        }
    }
    if token.is_mark('#') && follows(1).is_some_and(|t| t.kind == Kind::Open('[')) {
        let end = tokens::closing(tokens, place + 1).unwrap_or(place + 1);
        let attribute = &tokens[place + 2..end.max(place + 2)];
        let direct = attribute.first().is_some_and(|t| t.is_word("ignore"));
        let conditional = attribute.first().is_some_and(|t| t.is_word("cfg_attr"))
            && attribute.iter().any(|t| t.is_word("ignore"));
        if direct || conditional {
            let message = "a test that is not run shows nothing: mend it, or take it away";
            found.push((token.line, message.to_owned()));
        }
    }
    if token.is_word("mod")
        && follows(1).is_some_and(|t| t.is_word("tests"))
        && follows(2).is_some_and(|t| t.kind == Kind::Open('{'))
    {
        let end = tokens::closing(tokens, place + 2).unwrap_or(place + 2);
        let lines = tokens[end].line - token.line + 1;
        if lines > MOST_TEST_LINES {
            let message = format!(
                "`mod tests` has {lines} lines, {MOST_TEST_LINES} are the most: move it to a file \
                 beside, `mod tests;`"
            );
            found.push((token.line, message));
        }
    }
    found
}

/// Whether the word stands in the line, not as part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let inner = |letter: Option<char>| letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
    line.match_indices(word).any(|(at, _)| {
        !inner(line[..at].chars().next_back()) && !inner(line[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<(usize, String)> {
        let findings = check_file("a.rs", text);
        findings.into_iter().map(|f| (f.line, f.message)).collect()
    }

    fn refuses(text: &str, line: usize, part: &str) {
        let found = findings(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].0, line, "{found:?}");
        assert!(found[0].1.contains(part), "{found:?}");
    }

    #[test]
    fn a_file_that_keeps_the_rules_passes() {
        let text = "//! Prose on select! { a } and unimplemented!().\n\
            async fn f() { tokio::select! { biased; _ = a => {} } }\n\
            fn ignore() {}\n#[cfg(test)]\nmod tests { fn select() {} }\n";
        assert_eq!(findings(text), []);
    }

    #[test]
    fn a_select_without_biased_is_refused() {
        refuses("\nfn f() { tokio::select! { a = b => {} } }", 2, "biased");
        refuses("fn f() { select!(biased = b => {}) }", 1, "biased");
        refuses(
            "macro_rules! m { () => { select! { _ = a => {} } } }",
            1,
            "biased",
        );
    }

    #[test]
    fn work_put_off_is_refused() {
        refuses(
            &format!("fn f() {{ {}!() }}", PUT_OFF[0].to_lowercase()),
            1,
            "no code",
        );
        refuses("fn f() {\n    unimplemented!(\"later\")\n}", 2, "no code");
        refuses(&format!("// {}: mend\n", PUT_OFF[1]), 1, "puts work off");
        assert_eq!(findings(&format!("// {}S\n", PUT_OFF[0])), []);
    }

    #[test]
    fn a_test_that_is_not_run_is_refused() {
        refuses("#[test]\n#[ignore]\nfn f() {}", 2, "not run");
        refuses("#[ignore = \"slow\"]\nfn f() {}", 1, "not run");
        refuses("#[cfg_attr(unix, ignore)]\nfn f() {}", 1, "not run");
    }

    #[test]
    fn long_files_and_long_tests_are_refused() {
        refuses(
            &"// line\n".repeat(MOST_LINES + 1),
            MOST_LINES + 1,
            "part it",
        );
        assert_eq!(findings(&"// line\n".repeat(MOST_LINES)), []);
        let body = "fn f() {}\n".repeat(MOST_TEST_LINES - 2);
        assert_eq!(findings(&format!("mod tests {{\n{body}}}\n")), []);
        refuses(&format!("mod tests {{\n\n{body}}}\n"), 1, "a file beside");
    }

    #[test]
    fn what_is_no_rust_is_refused() {
        refuses("fn f( {", 1, "no Rust");
    }

    #[test]
    fn files_longer_than_most_are_listed() {
        let long = "// line\n".repeat(FEW_LINES + 1);
        let tree = Tree::of(&[("a.rs", long.as_str()), ("b.rs", "")]);
        assert_eq!(long_files(&tree), ["a.rs: 301 lines, more than most"]);
    }
}
