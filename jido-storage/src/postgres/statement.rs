//! The statement of an append: what a batch needs of it, since each part costs something
//! also where it has nothing to do.

use std::sync::LazyLock;

use crate::Commit;

/// A part that an append may go without.
#[derive(Clone, Copy)]
struct Part {
    sql: &'static str,
    /// Whether a commit needs it.
    serves: fn(&Commit) -> bool,
}

const PARTS: [Part; 3] = [
    Part {
        sql: include_str!("sql/append/erased.sql"),
        serves: |commit| commit.erase.thread,
    },
    Part {
        sql: include_str!("sql/append/written.sql"),
        serves: |commit| !commit.entries.is_empty(),
    },
    Part {
        sql: include_str!("sql/append/applied.sql"),
        serves: |commit| !(commit.requests.is_empty() && commit.forget.is_empty()),
    },
];

/// The statement for each choice of parts, at the place whose bits say which.
static STATEMENTS: LazyLock<[String; 1 << PARTS.len()]> = LazyLock::new(|| {
    std::array::from_fn(|choice| {
        let chosen = (0..).zip(PARTS).filter(|(at, _)| choice >> at & 1 == 1);
        let parts: String = chosen.map(|(_, part)| part.sql).collect();
        [
            include_str!("sql/append/updated.sql"),
            &parts,
            include_str!("sql/append/committed.sql"),
        ]
        .concat()
    })
});

/// The statement that appends these commits.
pub(super) fn append<'a>(commits: impl Iterator<Item = &'a Commit> + Clone) -> &'static str {
    let bits = (0..)
        .zip(PARTS)
        .map(|(at, part)| usize::from(commits.clone().any(part.serves)) << at);
    // The sum of different bits is below the number of choices.
    &STATEMENTS[bits.sum::<usize>()]
}
