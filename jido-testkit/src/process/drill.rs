//! A drill: one zone of a cluster fails under load, comes back, and a report tells how the
//! others bore it, with a verdict.
//!
//! A [`Plan`] is drawn from a seed, [`run`] carries it out on real processes, and its
//! [`Report`] holds what was measured against [`Bounds`]. The guide is `docs/drill.md`.

mod criteria;
mod measured;
mod phase;
mod plan;
mod report;
mod run;
mod settling;
mod spread;

pub use criteria::{Bounds, Criterion, Limit, judge};
pub use measured::{Measured, Moves};
pub use phase::Phase;
pub use plan::{Plan, Settings, Zone};
pub use report::Report;
pub use run::{Drill, Drilled, run};
pub use spread::Spread;
