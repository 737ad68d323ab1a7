//! What is shown: a table that is drawn again and again, or lines where there is
//! no terminal.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Duration;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use crossterm::cursor::MoveUp;
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};

/// The state of the cluster and the load at one time.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) nodes: Vec<NodeRow>,
    pub(super) calls_per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) acknowledged: u64,
    pub(super) stored: i64,
    pub(super) failed: u64,
}

#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) name: String,
    pub(super) state: &'static str,
    /// None when nobody could be asked.
    pub(super) keys: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Screen {
    out: Stdout,
    is_terminal: bool,
    /// How many lines of the last table stand above the cursor.
    drawn: u16,
}

impl Screen {
    pub(super) fn new() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Self {
            out,
            is_terminal,
            drawn: 0,
        }
    }

    /// How often there is something new to show.
    pub(super) fn interval(&self) -> Duration {
        if self.is_terminal {
            Duration::from_millis(500)
        } else {
            Duration::from_secs(1)
        }
    }

    /// Writes a line that stays.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.erase()?;
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// Shows a sample in place of the last one, or below it.
    pub(super) fn show(&mut self, sample: &Sample) -> io::Result<()> {
        self.erase()?;
        if self.is_terminal {
            let text = format!("{}\n{}\n", table(sample), load(sample));
            self.drawn = u16::try_from(text.lines().count()).unwrap_or(u16::MAX);
            self.out.write_all(text.as_bytes())?;
        } else {
            let nodes: Vec<String> = sample
                .nodes
                .iter()
                .map(|node| format!("{} {} {}", node.name, node.state, keys(node)))
                .collect();
            writeln!(self.out, "{} | {}", load(sample), nodes.join(", "))?;
        }
        self.out.flush()
    }

    fn erase(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            queue!(
                self.out,
                MoveUp(self.drawn),
                Clear(ClearType::FromCursorDown)
            )?;
            self.drawn = 0;
        }
        Ok(())
    }
}

fn table(sample: &Sample) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(["node", "state", "keys"]);
    for node in &sample.nodes {
        table.add_row([node.name.clone(), node.state.to_owned(), keys(node)]);
    }
    let total: u64 = sample.nodes.iter().filter_map(|node| node.keys).sum();
    table.add_row(["total".to_owned(), String::new(), total.to_string()]);
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn keys(node: &NodeRow) -> String {
    node.keys
        .map_or_else(|| "-".to_owned(), |keys| keys.to_string())
}

fn load(sample: &Sample) -> String {
    format!(
        "{:5.1} s  {:6.0} calls/s  p50 {}  p99 {}  acknowledged {}  stored {}  failed {}",
        sample.at.as_secs_f64(),
        sample.calls_per_second,
        millis(sample.p50),
        millis(sample.p99),
        sample.acknowledged,
        sample.stored,
        sample.failed
    )
}

/// A time in milliseconds with one digit after the point.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
