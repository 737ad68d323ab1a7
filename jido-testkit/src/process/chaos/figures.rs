//! Times, and what is said of them.

use std::fmt;
use std::time::Duration;

/// Times that were measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// The figures of these times.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest time that this many of a hundred are not above; none where there
    /// are none.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent.min(100)).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.percentile(50), self.percentile(99)) {
            (Some(p50), Some(p99)) => {
                write!(f, "p50 {} ms p99 {} ms", p50.as_millis(), p99.as_millis())
            }
            _ => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_time_that_so_many_are_not_above() {
        let figures = Figures::new((1..=50).rev().map(Duration::from_millis).collect());
        let ms = |percent| figures.percentile(percent).unwrap().as_millis();
        assert_eq!(
            [ms(0), ms(50), ms(98), ms(99), ms(100)],
            [1, 25, 49, 50, 50]
        );
        assert_eq!(figures.to_string(), "p50 25 ms p99 50 ms");
        assert_eq!(Figures::default().percentile(50), None);
    }
}
