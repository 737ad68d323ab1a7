//! The statement of an append: what a batch needs of it, since each part costs something
//! also where it has nothing to do.

use std::fmt::Write;
use std::sync::LazyLock;

use crate::Commit;

/// Rows that a statement is given, as an array for each column: names and types.
type Columns = &'static [(&'static str, &'static str)];

const COMMITS: Columns = &[
    ("id", "bigint"),
    ("key", "text"),
    ("epoch", "bigint"),
    ("expected", "bigint"),
    ("advance", "bigint"),
    ("at", "bigint"),
    ("entries", "bigint"),
    ("checkpoint", "bytea"),
    ("covers", "bigint"),
    ("floor", "bigint"),
    // Its place among the clusters and managers, from 1.
    ("named", "int"),
];

/// More columns of commits.
const RARELY_SET: Columns = &[
    ("erase_checkpoint", "boolean"),
    ("erase_thread", "boolean"),
    ("thread_metadata", "text"),
    ("remind", "boolean"),
    ("wake_at", "bigint"),
    ("reminders", "bytea"),
    ("release", "boolean"),
];

const ENTRIES: Columns = &[
    ("commit", "bigint"),
    ("place", "bigint"),
    ("kind", "text"),
    ("at", "bigint"),
    ("payload", "bytea"),
    ("payload_json", "text"),
    ("refs", "text"),
];

const FORGOTTEN: Columns = &[("commit", "bigint"), ("client", "uuid"), ("seq", "bigint")];

const REQUESTS: Columns = &[
    ("commit", "bigint"),
    ("client", "uuid"),
    ("seq", "bigint"),
    ("issued_at", "bigint"),
    ("reply", "bytea"),
];

/// What stays of a record unless a commit sets it anew.
const KEPT: [(&str, &str); 3] = [
    ("{kept_len}", "a.thread_len"),
    ("{kept_checkpoint}", "a.checkpoint"),
    ("{kept_covers}", "a.covers"),
];

/// The same where a commit may erase it.
const KEPT_UNLESS_ERASED: [(&str, &str); 3] = [
    (
        "{kept_len}",
        "case when i.erase_thread then 0 else a.thread_len end",
    ),
    (
        "{kept_checkpoint}",
        "case when not i.erase_checkpoint then a.checkpoint end",
    ),
    (
        "{kept_covers}",
        "case when i.erase_checkpoint or i.erase_thread then 0 else a.covers end",
    ),
];

/// What an append may go without.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    /// What few commits do with an agent's record.
    pub(super) rarely_set: bool,
    pub(super) erased: bool,
    pub(super) entries: bool,
    pub(super) requests: bool,
}

impl Needs {
    /// As many as there are.
    const CHOICES: usize = 1 << 4;

    /// What these commits need, together.
    pub(super) fn of<'a>(commits: impl Iterator<Item = &'a Commit>) -> Self {
        let mut needs = Self::default();
        for commit in commits {
            needs.rarely_set |= commit.erase.thread
                || commit.erase.checkpoint
                || commit.release
                || commit.reminders.is_some()
                || !commit.thread_metadata.is_empty();
            needs.erased |= commit.erase.thread;
            needs.entries |= !commit.entries.is_empty();
            needs.requests |= !(commit.requests.is_empty() && commit.forget.is_empty());
        }
        needs
    }

    fn choice(self) -> usize {
        let all = [self.rarely_set, self.erased, self.entries, self.requests];
        all.iter()
            .rfold(0, |choice, need| choice << 1 | usize::from(*need))
    }

    fn of_choice(choice: usize) -> Self {
        Self {
            rarely_set: choice & 1 != 0,
            erased: choice >> 1 & 1 != 0,
            entries: choice >> 2 & 1 != 0,
            requests: choice >> 3 & 1 != 0,
        }
    }

    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::CHOICES).map(Self::of_choice)
    }

    /// The statement. Its values are clusters, as many managers, and then all columns,
    /// in the order in which they stand here: of the commits, of the entries, of the
    /// requests that are forgotten and of those that are applied.
    pub(super) fn statement(self) -> &'static str {
        static STATEMENTS: LazyLock<[String; Needs::CHOICES]> =
            LazyLock::new(|| std::array::from_fn(|choice| Needs::of_choice(choice).written()));
        // Every choice has its place.
        &STATEMENTS[self.choice()]
    }

    fn written(self) -> String {
        let mut sql = include_str!("sql/append/updated.sql").to_owned();
        let mut put = |token: &str, text: &str| sql = sql.replace(token, text);
        // Clusters and managers come first.
        let mut values = Values(2);
        let (kept, rarely_set, columns): (_, _, &[Columns]) = if self.rarely_set {
            let rarely_set = include_str!("sql/append/rarely_set.sql");
            (KEPT_UNLESS_ERASED, rarely_set, &[COMMITS, RARELY_SET])
        } else {
            (KEPT, "", &[COMMITS])
        };
        put("{rarely_set}", rarely_set);
        for (token, text) in kept {
            put(token, text);
        }
        put("{commits}", &values.numbered("i", columns));
        if self.erased {
            sql += include_str!("sql/append/erased.sql");
        }
        if self.entries {
            let entries = values.rows("e", &[ENTRIES]);
            sql += &include_str!("sql/append/written.sql").replace("{entries}", &entries);
        }
        if self.requests {
            let forgotten = values.rows("f", &[FORGOTTEN]);
            let requests = values.rows("r", &[REQUESTS]);
            sql += &include_str!("sql/append/applied.sql")
                .replace("{forgotten}", &forgotten)
                .replace("{requests}", &requests);
        }
        sql + include_str!("sql/append/committed.sql")
    }
}

/// How many values a statement has by now.
struct Values(usize);

impl Values {
    /// Rows of a name, each of these columns one more value.
    fn rows(&mut self, name: &str, columns: &[Columns]) -> String {
        self.table(name, columns, "", "")
    }

    /// The same, and `ord` counts them from 1.
    fn numbered(&mut self, name: &str, columns: &[Columns]) -> String {
        self.table(name, columns, " with ordinality", ", ord")
    }

    fn table(&mut self, name: &str, columns: &[Columns], counted: &str, ord: &str) -> String {
        let (mut arrays, mut names) = (String::new(), String::new());
        for (column, kind) in columns.iter().copied().flatten() {
            let comma = if names.is_empty() { "" } else { ", " };
            self.0 += 1;
            // Writing to a string does not fail.
            let _written = write!(arrays, "{comma}${}::{kind}[]", self.0);
            let _written = write!(names, "{comma}{column}");
        }
        format!("unnest({arrays}){counted} as {name}({names}{ord})")
    }
}
