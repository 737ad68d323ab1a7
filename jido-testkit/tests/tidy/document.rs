//! Reads sections, tables and marked lists of ARCHITECTURE.md.

/// The document that is the source of the import table and the map of files.
pub(crate) const DOCUMENT: &str = "ARCHITECTURE.md";

/// The lines of the section under `## title`, each with its number from 1.
/// None when there is no such section.
pub(crate) fn section<'a>(text: &'a str, title: &str) -> Option<Vec<(usize, &'a str)>> {
    let mut lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
    lines.find(|(_, line)| line.strip_prefix("## ").map(str::trim) == Some(title))?;
    Some(
        lines
            .take_while(|(_, line)| !line.starts_with("## "))
            .collect(),
    )
}

/// A thing in backticks, and whether `(planned)` stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) planned: bool,
}

/// All things in backticks of a piece of text.
pub(crate) fn named(text: &str) -> Vec<Named> {
    let pieces: Vec<&str> = text.split('`').collect();
    let inside = pieces.iter().enumerate().filter(|(n, _)| n % 2 == 1);
    inside
        .map(|(n, name)| Named {
            name: (*name).to_owned(),
            planned: pieces
                .get(n + 1)
                .is_some_and(|rest| rest.trim_start().starts_with("(planned)")),
        })
        .collect()
}

/// The cells of a line of a table; none when it is a line of something else, the
/// head's rule included.
pub(crate) fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    let is_rule = cells
        .iter()
        .all(|cell| !cell.is_empty() && cell.chars().all(|letter| matches!(letter, '-' | ':')));
    (!is_rule).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "# T\n## A\none\n### B\ntwo\n## C\nthree\n";
        let lines = section(text, "A").unwrap();
        assert_eq!(lines, [(3, "one"), (4, "### B"), (5, "two")]);
        assert_eq!(section(text, "D"), None);
    }

    #[test]
    fn marks_belong_to_the_thing_before_them() {
        let found = named("`a/**` (planned), `b/**` and `c`");
        let planned: Vec<_> = found.iter().map(|n| (n.name.as_str(), n.planned)).collect();
        assert_eq!(planned, [("a/**", true), ("b/**", false), ("c", false)]);
    }

    #[test]
    fn a_rule_is_no_row() {
        assert_eq!(cells("| a | b |"), Some(vec!["a", "b"]));
        assert_eq!(cells("|---|:--|"), None);
        assert_eq!(cells("- a"), None);
    }
}
