//! Rust source as a flat run of tokens with their lines; comments are gone and
//! texts in quotes are opaque, so a rule never takes prose for code.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A token, and the line that it stands on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Word(String),
    Mark(char),
    Open(char),
    Close(char),
    Literal,
}

impl Token {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(text) if text == word)
    }

    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// Splits a source into tokens.
///
/// # Errors
///
/// The line and text of what is no Rust.
pub(crate) fn tokens(source: &str) -> Result<Vec<Token>, (usize, String)> {
    let stream: TokenStream = source
        .parse()
        .map_err(|error: proc_macro2::LexError| (error.span().start().line, error.to_string()))?;
    let mut flat = Vec::new();
    flatten(stream, &mut flat);
    Ok(flat)
}

fn flatten(stream: TokenStream, flat: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let kind = match tree {
            TokenTree::Ident(ident) => {
                let text = ident.to_string();
                Kind::Word(text.strip_prefix("r#").unwrap_or(&text).to_owned())
            }
            TokenTree::Punct(punct) => Kind::Mark(punct.as_char()),
            TokenTree::Literal(_) => Kind::Literal,
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                flat.push(Token {
                    kind: Kind::Open(open),
                    line: group.span_open().start().line,
                });
                flatten(group.stream(), flat);
                flat.push(Token {
                    kind: Kind::Close(close),
                    line: group.span_close().start().line,
                });
                continue;
            }
        };
        flat.push(Token { kind, line });
    }
}

/// The place of the bracket that closes the one at `open`.
pub(crate) fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (place, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open(_) => depth += 1,
            Kind::Close(_) => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(place);
                }
            }
            _ => {}
        }
    }
    None
}

/// The names that paths begin with, each with the first line where one does:
/// `ractor` for `ractor::call!(..)`, `use ractor;`, `use ::ractor as r` and
/// `use {serde, ractor}`.
pub(crate) fn path_roots(tokens: &[Token]) -> BTreeMap<String, usize> {
    let mut roots = BTreeMap::new();
    for (place, token) in tokens.iter().enumerate() {
        let Kind::Word(word) = &token.kind else {
            continue;
        };
        let goes_on = double_colon_at(tokens, place + 1);
        if is_root(tokens, place) && (goes_on || is_imported(tokens, place)) {
            roots.entry(word.clone()).or_insert(token.line);
        }
    }
    roots
}

fn double_colon_at(tokens: &[Token], place: usize) -> bool {
    let mark = |place: usize| tokens.get(place).is_some_and(|t| t.is_mark(':'));
    mark(place) && mark(place + 1)
}

/// Where the path that the word at `place` is the first of begins: before a
/// leading `::`, if it has one.
fn start(tokens: &[Token], place: usize) -> usize {
    if place >= 2 && double_colon_at(tokens, place - 2) {
        place - 2
    } else {
        place
    }
}

/// Whether nothing stands before the word in its path, but for a leading `::`.
fn is_root(tokens: &[Token], place: usize) -> bool {
    let start = start(tokens, place);
    if start == place {
        return true;
    }
    match start.checked_sub(1).map(|before| &tokens[before].kind) {
        Some(Kind::Word(word)) => matches!(
            word.as_str(),
            "use" | "as" | "in" | "impl" | "dyn" | "return" | "for" | "mut" | "else" | "match"
        ),
        // `<T as Trait>::name` goes on; `-> ::name` and `=> ::name` begin.
        Some(Kind::Mark('>')) => {
            start >= 2 && matches!(tokens[start - 2].kind, Kind::Mark('-' | '='))
        }
        _ => true,
    }
}

/// Whether the word is a whole import: of `use`, of a group right after `use`, or
/// of `extern crate`.
fn is_imported(tokens: &[Token], place: usize) -> bool {
    let Some(mut before) = start(tokens, place).checked_sub(1) else {
        return false;
    };
    if tokens[before].is_word("use") {
        return true;
    }
    if tokens[before].is_word("crate") {
        return before > 0 && tokens[before - 1].is_word("extern");
    }
    if !(tokens[before].is_mark(',') || tokens[before].kind == Kind::Open('{')) {
        return false;
    }
    // Back to the bracket that this one stands in.
    let mut depth = 0usize;
    loop {
        match tokens[before].kind {
            Kind::Close(_) => depth += 1,
            Kind::Open(_) if depth == 0 => break,
            Kind::Open(_) => depth -= 1,
            _ => {}
        }
        match before.checked_sub(1) {
            Some(next) => before = next,
            None => return false,
        }
    }
    before > 0 && tokens[before - 1].is_word("use")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(source: &str) -> Vec<(String, usize)> {
        path_roots(&tokens(source).unwrap()).into_iter().collect()
    }

    #[test]
    fn every_way_to_name_a_crate_is_seen() {
        for source in [
            "use ractor::Actor;",
            "use ractor;",
            "use ractor as actors;",
            "use ::ractor::Actor;",
            "use {std::fmt, ractor};",
            "use {std::{fmt, io}, ractor as r};",
            "extern crate ractor;",
            "fn f() -> ::ractor::Actor {}",
            "impl ractor::Actor for A {}",
            "fn f() { ractor::call!(a) }",
            "#[ractor::thing] fn f() {}",
            "macro_rules! m { () => { ractor::spawn() } }",
        ] {
            assert!(
                roots(source).iter().any(|(name, _)| name == "ractor"),
                "{source}"
            );
        }
    }

    #[test]
    fn a_namesake_inside_a_path_or_prose_is_no_crate() {
        for source in [
            "use crate::ractor::Actor;",
            "use crate::{ractor, other};",
            "fn f() { let ractor = 1; self::ractor::g(ractor) }",
            "// use ractor::Actor;\n/* ractor::call */ const A: &str = \"ractor::call\";",
            "/// ractor::Actor\nstruct A { ractor: u8 }",
            "fn f() { <A as B>::ractor::g() }",
        ] {
            assert!(
                roots(source).iter().all(|(name, _)| name != "ractor"),
                "{source}"
            );
        }
    }

    #[test]
    fn the_line_is_that_of_the_first_use() {
        assert_eq!(
            roots("\n\nuse tokio::a;\nuse tokio::b;"),
            [("tokio".into(), 3)]
        );
    }

    #[test]
    fn what_is_no_rust_is_said_so() {
        assert!(tokens("fn f( {").is_err());
    }
}
