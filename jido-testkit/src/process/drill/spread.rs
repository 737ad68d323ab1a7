//! Times of many, as few numbers.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::process::chaos::Figures;

/// How long something took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// How often it was measured.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 95 of a hundred took no longer.
    pub p95_ms: f64,
    /// 99 of a hundred took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub longest_ms: f64,
}

impl Spread {
    /// Of times; none where there are none.
    pub fn of(times: &Figures) -> Option<Self> {
        let ms = |percent| times.percentile(percent).map(millis);
        Some(Self {
            count: times.len() as u64,
            p50_ms: ms(50)?,
            p95_ms: ms(95)?,
            p99_ms: ms(99)?,
            longest_ms: ms(100)?,
        })
    }

    /// Of a histogram of microseconds; none where it is empty.
    pub fn of_micros(histogram: &Histogram<u64>) -> Option<Self> {
        let ms = |micros| millis(Duration::from_micros(micros));
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p95_ms: ms(histogram.value_at_quantile(0.95)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            longest_ms: ms(histogram.max()),
        })
    }
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            self.p50_ms, self.p95_ms, self.p99_ms, self.longest_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_measure_give_the_same() {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        let micros: Vec<u64> = (1..=200).rev().map(|at| at * 10).collect();
        for one in &micros {
            histogram.record(*one).unwrap();
        }
        let times = Figures::new(micros.into_iter().map(Duration::from_micros).collect());
        let spread = Spread::of(&times).unwrap();
        assert_eq!(Spread::of_micros(&histogram), Some(spread));
        assert_eq!(
            spread,
            Spread {
                count: 200,
                p50_ms: 1.0,
                p95_ms: 1.9,
                p99_ms: 1.98,
                longest_ms: 2.0,
            }
        );
    }

    #[test]
    fn of_nothing_there_is_none() {
        assert_eq!(Spread::of(&Figures::default()), None);
        let histogram = Histogram::new_with_bounds(1, 10, 3).unwrap();
        assert_eq!(Spread::of_micros(&histogram), None);
    }
}
