//! The suite is itself tried: each file plants one flaw into an adapter that is sound
//! without it, and the suite has to find it by the rules that it breaks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is test code: what goes wrong ends the test, and doubles start tasks"
)]

mod double;
mod foresee;
mod lives;
mod verdict;

mod acknowledged_before_it_is_kept;
mod acknowledged_before_it_is_seen;
mod append_dropped_with_its_caller;
mod batch_fails_as_a_whole;
mod beat_checked_before;
mod beat_ignored;
mod claim_and_load_in_one;
mod claimant_checked_before;
mod clock_decides;
mod dead_claims;
mod dead_renews;
mod delete_leaves_replies;
mod delete_resets_the_epoch;
mod directory_by_offset;
mod directory_repeats_at_the_edge;
mod directory_skips_at_the_edge;
mod dormant_hidden;
mod due_skips_those_of_one_time;
mod due_stays_after_deletion;
mod half_written_beyond_the_limit;
mod heads_in_another_order;
mod keys_collide;
mod live_owner_taken_from;
mod no_epoch_check;
mod no_revision_check;
mod reclaim_keeps_the_epoch;
mod release_apart;
mod release_without_epoch_check;
mod released_owner_writes;
mod reply_overwritten;
mod thread_page_off_by_one;
mod where_exists;
