-- Appends a batch of commits of different agents, in one statement and so in one
-- transaction of its own that no client can hold open.
--
-- The agents' rows are updated first, each in the order of the input, which is the same
-- for everyone: so batches don't deadlock. A row that another transaction has changed
-- meanwhile is waited for, and epoch and revision are looked at anew as they are then.
-- Commits that are not among those that come back were refused, and wrote nothing.
--
-- `= any(array[..])` is `=` that leaves the planner one way: a lookup in the index for each
-- commit, also where statistics from when the table was empty promise better. And what is
-- compared with `is not distinct from` no index is asked for: a row that is found by its
-- number is nearly always the agent's.
with updated as (
    update agent a set
        revision = a.revision + i.advance,
        thread_len = i.entries + {kept_len},
        updated_at = i.at{saved}{rarely_set}
    from {commits}
    where a.id = any(array[i.id])
        and a.cluster is not distinct from ($1::text[])[i.named]
        and a.manager is not distinct from ($2::text[])[i.named]
        and a.key is not distinct from i.key
        and a.epoch = i.epoch and a.owner is not null and a.revision = i.expected{saveable}
    returning
        i.ord, a.id, a.life, a.thread, a.revision, a.epoch, a.thread_len - i.entries as begins
)
