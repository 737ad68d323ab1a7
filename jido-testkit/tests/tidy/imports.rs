//! The import table: which files may name which outside crate.

use std::collections::BTreeMap;

use crate::document::{self, DOCUMENT, Named};
use crate::manifests;
use crate::tokens;
use crate::tree::{Finding, Tree};

const TITLE: &str = "Import table";

/// A row: a crate and the places that may name it.
struct Row {
    line: usize,
    krate: String,
    places: Vec<Named>,
}

impl Row {
    fn allows(&self, file: &str) -> bool {
        self.places.iter().any(|place| covers(&place.name, file))
    }

    fn allows_in(&self, member: &str) -> bool {
        let inside = format!("{member}/");
        self.places
            .iter()
            .any(|place| place.name.starts_with(&inside))
    }

    fn places(&self) -> String {
        let names: Vec<&str> = self
            .places
            .iter()
            .map(|place| place.name.as_str())
            .collect();
        names.join(", ")
    }
}

/// Whether a place covers a file: `a/b/**` is all that is in `a/b/`, and the
/// module's own file `a/b.rs`; anything else is one file.
fn covers(place: &str, file: &str) -> bool {
    match place.strip_suffix("/**") {
        Some(folder) => {
            let own = file.strip_suffix(".rs") == Some(folder);
            own || file
                .strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        }
        None => place == file,
    }
}

fn rows(document: &str) -> Result<Vec<Row>, Finding> {
    let Some(lines) = document::section(document, TITLE) else {
        let message = format!("has no section `## {TITLE}`: write which files may name what");
        return Err(Finding::new(DOCUMENT, 1, message));
    };
    let mut rows = Vec::new();
    for (line, text) in &lines {
        let Some(cells) = document::cells(text) else {
            continue;
        };
        let krate = document::named(cells[0]);
        let places = cells.get(1).map(|cell| document::named(cell));
        // The head of the table names nothing in backticks.
        if let ([krate], Some(places)) = (krate.as_slice(), places) {
            rows.push(Row {
                line: *line,
                krate: krate.name.clone(),
                places,
            });
        }
    }
    if rows.is_empty() {
        let message = format!("section `## {TITLE}` has no row: the table is the rule");
        return Err(Finding::new(DOCUMENT, 1, message));
    }
    Ok(rows)
}

/// Holds the table against the files, and the files against the table.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let rows = match rows(tree.text(DOCUMENT).unwrap_or_default()) {
        Ok(rows) => rows,
        Err(finding) => return vec![finding],
    };
    let mut findings = Vec::new();
    // For each row the files that name its crate.
    let mut uses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, text) in tree.rust_files() {
        if !is_source(file) {
            continue;
        }
        let roots = match tokens::tokens(text) {
            Ok(tokens) => tokens::path_roots(&tokens),
            // The rules for Rust files report what is no Rust.
            Err(_) => continue,
        };
        for row in &rows {
            let Some(line) = roots.get(&row.krate) else {
                continue;
            };
            uses.entry(&row.krate).or_default().push(file);
            if !row.allows(file) {
                let message = format!(
                    "names `{}`, which only {} may: go through what these files offer, or change \
                     the table in {DOCUMENT} with a reason",
                    row.krate,
                    row.places(),
                );
                findings.push(Finding::new(file, *line, message));
            }
        }
    }
    for row in &rows {
        let files = uses.get(row.krate.as_str()).map_or(&[][..], Vec::as_slice);
        findings.extend(stale(row, files));
    }
    findings.extend(unused_dependencies(tree, &rows));
    findings
}

/// Whether a file belongs to a crate's own source, tests beside it included.
fn is_source(file: &str) -> bool {
    file.split('/').nth(1) == Some("src")
}

fn stale(row: &Row, files: &[&str]) -> Vec<Finding> {
    let findings = row.places.iter().filter_map(|place| {
        let used = files.iter().any(|file| covers(&place.name, file));
        let message = match (used, place.planned) {
            (true, true) => format!(
                "`{}` names `{}` already: take `(planned)` away",
                place.name, row.krate
            ),
            (false, false) => format!(
                "nothing in `{}` names `{}`: take the place away, or mark it `(planned)`",
                place.name, row.krate
            ),
            _ => return None,
        };
        Some(Finding::new(DOCUMENT, row.line, message))
    });
    findings.collect()
}

/// Dependencies of members none of whose files may name them.
fn unused_dependencies(tree: &Tree, rows: &[Row]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in tree.members() {
        let file = format!("{member}/Cargo.toml");
        for (krate, line) in manifests::dependencies(tree.text(&file).unwrap_or_default()) {
            let row = rows.iter().find(|row| row.krate == krate);
            if row.is_some_and(|row| !row.allows_in(member)) {
                let message = format!(
                    "depends on `{krate}`, which no file of {member} may name: take it away"
                );
                findings.push(Finding::new(&file, line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "## Import table\n\n| Crate | Where | Why |\n|---|---|---|\n\
        | `heed` | `s/src/lmdb/**` | driver |\n\
        | `sqlx` | `s/src/postgres/**` (planned) | driver |\n";

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let findings = check(&Tree::of(files));
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tree_that_keeps_the_table_passes() {
        let found = findings(&[
            (DOCUMENT, TABLE),
            ("s/src/lmdb/map.rs", "use heed::Env;"),
            ("s/src/lmdb.rs", "use heed::Env;"),
            ("s/tests/all.rs", "use heed::Env;"),
            ("s/Cargo.toml", "[package]\n[dependencies]\nheed = \"1\"\n"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_forbidden_import_is_refused_where_it_stands() {
        let found = findings(&[
            (DOCUMENT, TABLE),
            ("s/src/lmdb/map.rs", "use heed::Env;"),
            ("s/src/memory.rs", "//! Prose.\nfn f() { heed::open() }"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("s/src/memory.rs:2: names `heed`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_namesake_folder_is_not_the_place() {
        assert!(!covers("s/src/lmdb/**", "s/src/lmdb_two/map.rs"));
        assert!(!covers("s/src/lmdb/**", "s/src/lmdb_two.rs"));
    }

    #[test]
    fn a_stale_place_and_a_plan_come_true_are_refused() {
        let found = findings(&[
            (DOCUMENT, TABLE),
            ("s/src/postgres/pool.rs", "use sqlx::Pool;"),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("ARCHITECTURE.md:5: nothing in"),
            "{found:?}"
        );
        assert!(found[1].contains("take `(planned)` away"), "{found:?}");
    }

    #[test]
    fn a_dependency_that_no_file_may_name_is_refused() {
        let found = findings(&[
            (DOCUMENT, TABLE),
            ("s/src/lmdb.rs", "use heed::Env;"),
            (
                "core/Cargo.toml",
                "[package]\nname = \"core\"\n[dependencies]\nheed.workspace = true\n",
            ),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("core/Cargo.toml:4: depends on `heed`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_document_without_the_table_is_refused() {
        assert_eq!(findings(&[(DOCUMENT, "# A\n")]).len(), 1);
        assert_eq!(findings(&[(DOCUMENT, "## Import table\n")]).len(), 1);
    }
}
