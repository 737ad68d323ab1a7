//! Logarithms of hashes in whole numbers, the same on every machine.

/// After how many bits the fraction of a logarithm ends.
pub(super) const FRACTION: u32 = 40;

/// How many bits of a number beyond its first one choose an entry of the table.
const STEP: u32 = 10;

/// `floor(2^40 · log2(1 + i / 1024))`, and at the end the 1 that it comes to.
static TABLE: [u64; (1 << STEP) + 1] = table();

const fn table() -> [u64; (1 << STEP) + 1] {
    let mut table = [0; (1 << STEP) + 1];
    let mut i = 0;
    while i < 1 << STEP {
        table[i] = bits_of_log2((1 << 63) | ((i as u64) << (63 - STEP)));
        i += 1;
    }
    table[1 << STEP] = 1 << FRACTION;
    table
}

/// The fraction's bits of the logarithm of a number from 1 up to 2, with 63 bits of fraction:
/// squared, it tells the next bit of its logarithm by whether it comes to 2.
const fn bits_of_log2(number: u64) -> u64 {
    let mut x = number;
    let mut log = 0;
    let mut bit = 0;
    while bit < FRACTION {
        log <<= 1;
        let square = (x as u128) * (x as u128);
        if square >> 127 == 1 {
            log |= 1;
            x = (square >> 64) as u64;
        } else {
            x = (square >> 63) as u64;
        }
        bit += 1;
    }
    log
}

/// `-log2(score / 2^64)` with 40 bits of fraction, as the [module](super) says it: from above
/// 0 to 2^46. A larger score never has the larger one.
pub(super) fn minus_log2(score: u64) -> u64 {
    // Of 0 there is none: it is as far down as 1.
    let score = score.max(1);
    let zeros = score.leading_zeros();
    // Without its first one, which is always there.
    let rest = (score << zeros) << 1;
    let place = (rest >> (64 - STEP)) as usize;
    let within = (rest << STEP) >> 32;
    let (low, high) = match TABLE.get(place..place + 2) {
        Some([low, high]) => (*low, *high),
        // There are as many entries as places, and one.
        _ => (0, 1 << FRACTION),
    };
    let log = low + (((high - low) * within) >> 32);
    (u64::from(zeros) + 1) * (1 << FRACTION) - log
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(score: u64) -> f64 {
        -(score.max(1) as f64 / 2f64.powi(64)).log2()
    }

    #[test]
    fn the_documented_logarithms_hold() {
        let documented = include_str!("../placement.rs");
        for score in [
            0,
            1,
            1 << 63,
            0xc000_0000_0000_0000,
            0x0123_4567_89ab_cdef,
            0xfedc_ba98_7654_3210,
            u64::MAX,
        ] {
            let row = format!("//! | `{score:016x}` | {} |", minus_log2(score));
            assert!(
                documented.contains(&row),
                "the documentation lacks the row\n{row}"
            );
        }
    }

    #[test]
    fn the_table_grows_and_is_that_of_the_logarithm() {
        for (i, pair) in TABLE.windows(2).enumerate() {
            assert!(pair[0] < pair[1]);
            let exact = (1.0 + i as f64 / 1024.0).log2() * 2f64.powi(40);
            assert!((pair[0] as f64 - exact).abs() <= 2.0, "{i}: {}", pair[0]);
        }
    }

    proptest! {
        #[test]
        fn it_is_the_logarithm(score: u64, shift in 0u32..64) {
            let score = score >> shift;
            let log = minus_log2(score) as f64 / 2f64.powi(40);
            prop_assert!((log - exact(score)).abs() < 2e-7, "{log} {}", exact(score));
        }

        #[test]
        fn a_larger_score_never_has_the_larger_one(one: u64, by in 0u64..1 << 40, shift in 0u32..64) {
            let one = one >> shift;
            let other = one.saturating_add(by);
            prop_assert!(minus_log2(one) >= minus_log2(other));
            prop_assert!(minus_log2(one) >= minus_log2(one.saturating_add(1)));
        }

        /// What a look-up skips by.
        #[test]
        fn it_is_no_less_than_how_far_the_score_is_from_one(score: u64, shift in 0u32..64) {
            for score in [score, !(score >> shift)] {
                prop_assert!(minus_log2(score) >= !score >> (64 - FRACTION));
            }
        }
    }
}
