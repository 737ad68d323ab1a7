//! The statement of an append, with the parts that a batch needs of it. Values come in arrays,
//! which cost: those of a commit that comes alone come by themselves, which nearly halves what
//! the server has to do.

use std::fmt::Write;
use std::sync::OnceLock;

use super::needs::{Entries, Needs, Record, Requests};

/// Columns of rows that a statement is given: names and types.
type Columns = &'static [(&'static str, &'static str)];

const COMMITS: Columns = &[
    ("id", "bigint"),
    ("key", "text"),
    ("epoch", "bigint"),
    ("expected", "bigint"),
    ("advance", "bigint"),
    ("at", "bigint"),
    ("entries", "bigint"),
    // Its place among the clusters and managers, from 1.
    ("named", "int"),
];

/// More columns of commits.
const SAVED: Columns = &[
    ("checkpoint", "bytea"),
    ("covers", "bigint"),
    ("floor", "bigint"),
];

/// And more.
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
];

/// More columns of entries.
const DESCRIBED: Columns = &[("payload_json", "text"), ("refs", "text")];

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

/// A checkpoint covers no more than there is.
const SAVEABLE: &str = "
        and (i.checkpoint is null or i.covers <= i.entries + {kept_len})";

/// Counting makes all that is forgotten go first.
const AFTER_FORGOTTEN: &str = "
    where (select count(*) from forgotten) >= 0";

impl Needs {
    /// The statement. Its values are clusters, as many managers, and then all columns,
    /// in the order in which they stand here: of the commits, of the entries, of the
    /// requests that are forgotten and of those that are applied.
    pub(super) fn statement(self) -> &'static str {
        static STATEMENTS: [OnceLock<String>; Needs::CHOICES] =
            [const { OnceLock::new() }; Needs::CHOICES];
        // Every choice has its place.
        STATEMENTS[self.choice()].get_or_init(|| self.written())
    }

    fn written(self) -> String {
        // Clusters and managers come first.
        let mut values = Values {
            count: 2,
            single: self.single,
        };
        let mut sql = self.updated(&mut values);
        if self.record == Record::Erased {
            sql += include_str!("sql/append/erased.sql");
        }
        if self.entries > Entries::None {
            let (columns, names, of_rows): (&[Columns], _, _) = match self.entries {
                Entries::Described => (
                    &[ENTRIES, DESCRIBED],
                    ", payload_json, refs",
                    ", e.payload_json::jsonb, e.refs::jsonb",
                ),
                _ => (&[ENTRIES], "", ""),
            };
            sql += &include_str!("sql/append/written.sql")
                .replace("{entries}", &values.rows("e", columns))
                .replace("{described}", names)
                .replace("{of_described}", of_rows);
        }
        if self.requests == Requests::Forgotten {
            let forgotten = values.rows("f", &[FORGOTTEN]);
            sql += &include_str!("sql/append/forgotten.sql").replace("{forgotten}", &forgotten);
        }
        if self.requests > Requests::None {
            let after_forgotten = match self.requests {
                Requests::Forgotten => AFTER_FORGOTTEN,
                _ => "",
            };
            sql += &include_str!("sql/append/applied.sql")
                .replace("{requests}", &values.rows("r", &[REQUESTS]))
                .replace("{after_forgotten}", after_forgotten);
        }
        sql + include_str!("sql/append/committed.sql")
    }

    /// The part that all others hang on.
    fn updated(self, values: &mut Values) -> String {
        let mut columns = vec![COMMITS];
        let (mut saved, mut saveable, mut rarely_set) = ("", "", "");
        let mut kept = KEPT;
        if self.record >= Record::Saved {
            columns.push(SAVED);
            saved = include_str!("sql/append/saved.sql");
            saveable = SAVEABLE;
        }
        if self.record >= Record::RarelySet {
            columns.push(RARELY_SET);
            rarely_set = include_str!("sql/append/rarely_set.sql");
            kept = KEPT_UNLESS_ERASED;
        }
        let mut sql = include_str!("sql/append/updated.sql")
            .replace("{saved}", saved)
            .replace("{saveable}", saveable)
            .replace("{rarely_set}", rarely_set)
            .replace("{commits}", &values.numbered("i", &columns));
        for (token, text) in kept {
            sql = sql.replace(token, text);
        }
        sql
    }
}

/// The values that a statement is given.
struct Values {
    /// How many there are by now.
    count: usize,
    /// Whether there is one row of each name.
    single: bool,
}

impl Values {
    /// Rows of a name, each of these columns one more value.
    fn rows(&mut self, name: &str, columns: &[Columns]) -> String {
        self.table(name, columns, "")
    }

    /// The same, and `ord` counts them from 1.
    fn numbered(&mut self, name: &str, columns: &[Columns]) -> String {
        self.table(name, columns, ", ord")
    }

    fn table(&mut self, name: &str, columns: &[Columns], ord: &str) -> String {
        let array = if self.single { "" } else { "[]" };
        let (mut values, mut names) = (String::new(), String::new());
        for (column, kind) in columns.iter().copied().flatten() {
            let comma = if names.is_empty() { "" } else { ", " };
            self.count += 1;
            // Writing to a string does not fail.
            let _written = write!(values, "{comma}${}::{kind}{array}", self.count);
            let _written = write!(names, "{comma}{column}");
        }
        let rows = match (self.single, ord) {
            (true, "") => format!("(values ({values}))"),
            (true, _) => format!("(values ({values}, 1::bigint))"),
            (false, "") => format!("unnest({values})"),
            (false, _) => format!("unnest({values}) with ordinality"),
        };
        format!("{rows} as {name}({names}{ord})")
    }
}
