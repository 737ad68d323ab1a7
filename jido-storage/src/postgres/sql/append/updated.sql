-- Appends a batch of commits of different agents, in one statement and so in one
-- transaction of its own that no client can hold open.
--
-- The agents' rows are updated first, each in the order of the input, which is the same
-- for everyone: so batches don't deadlock. A row that another transaction has changed
-- meanwhile is waited for, and epoch and revision are looked at anew as they are then.
-- Commits that are not among those that come back were refused, and wrote nothing.
--
-- `= any(array[..])` is `=` that leaves the planner one way: a lookup in the index for each
-- commit, also where statistics from when the table was empty promise better.
with updated as (
    update agent a set
        revision = a.revision + i.advance,
        thread = a.thread + i.erase_thread::int,
        thread_len = cardinality(i.entries) + case when i.erase_thread then 0 else a.thread_len end,
        thread_metadata = case
            when cardinality(i.entries) > 0 and (i.erase_thread or a.thread_len = 0)
                then i.thread_metadata::jsonb
            when i.erase_thread then null
            else a.thread_metadata
        end,
        checkpoint = case
            when i.checkpoint is not null then i.checkpoint
            when i.erase_checkpoint then null
            else a.checkpoint
        end,
        covers = case
            when i.checkpoint is not null then i.covers
            when i.erase_checkpoint or i.erase_thread then 0
            else a.covers
        end,
        wake_at = case when i.remind then i.wake_at else a.wake_at end,
        reminders = case when i.remind then i.reminders else a.reminders end,
        floor = greatest(a.floor, i.floor),
        owner = case when i.release then null else a.owner end,
        updated_at = i.at
    from unnest($1::new_commit[]) with ordinality as i
    where a.cluster = any(array[i.cluster]) and a.manager = i.manager and a.key = i.key
        and a.epoch = i.epoch and a.owner is not null and a.revision = i.expected
        and (
            i.checkpoint is null
            or i.covers
                <= cardinality(i.entries) + case when i.erase_thread then 0 else a.thread_len end
        )
    returning
        i.ordinality as ord, a.id, a.life, a.thread, a.revision, a.epoch, i.erase_thread,
        a.thread_len - cardinality(i.entries) as begins, i.entries, i.requests, i.forget
)
