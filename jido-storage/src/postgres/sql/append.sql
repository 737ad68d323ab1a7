-- Appends a batch of commits of different agents, in one statement and so in one
-- transaction of its own that no client can hold open.
--
-- Rows are locked first, in the order of the input, which is the same for everyone:
-- so batches don't deadlock. A lock shows the row as it is now, whatever was
-- committed while it was waited for, and only then are epoch and revision looked at.
with input as (
    select * from unnest(
        $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::boolean[], $9::boolean[], $10::bytea[], $11::bigint[],
        $12::text[], $13::bigint[], $14::boolean[], $15::bigint[],
        $16::boolean[], $17::bigint[], $18::bytea[]
    ) with ordinality as t(
        cluster, manager, key, epoch, expected, advance,
        entries, erase_checkpoint, erase_thread, checkpoint, covers,
        metadata, floor, release, at,
        remind, wake_at, reminders, ord
    )
), locked as materialized (
    select
        i.ord, a.id, a.epoch, a.revision, a.owner, a.thread_len,
        a.epoch = i.epoch and a.owner is not null and a.revision = i.expected
            and (
                i.checkpoint is null
                or i.covers
                    <= i.entries + case when i.erase_thread then 0 else a.thread_len end
            ) as passes
    from input i cross join lateral (
        select id, epoch, revision, owner, thread_len
        from agent
        where cluster = i.cluster and manager = i.manager and key = i.key
        for no key update
    ) a
), updated as (
    update agent a set
        revision = a.revision + i.advance,
        thread = a.thread + i.erase_thread::int,
        thread_len = i.entries + case when i.erase_thread then 0 else a.thread_len end,
        thread_metadata = case
            when i.entries > 0 and (i.erase_thread or a.thread_len = 0)
                then i.metadata::jsonb
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
    from locked l join input i on i.ord = l.ord
    where a.id = l.id and l.passes
    returning
        i.ord, a.id, a.life, a.thread, a.revision, a.epoch, i.erase_thread,
        a.thread_len - i.entries as begins
), erased as (
    -- Older threads too: what was committed while an earlier statement waited for
    -- the lock could not be seen by it.
    delete from entry e using updated u
    where u.erase_thread and e.agent = u.id and e.thread < u.thread
), written as (
    insert into entry (
        agent, thread, seq, revision, epoch, kind, at, payload, payload_json, refs
    )
    select
        u.id, u.thread, u.begins + e.place, u.revision, u.epoch,
        e.kind, e.at, e.payload, e.payload_json::jsonb, e.refs::jsonb
    from unnest(
        $19::bigint[], $20::bigint[], $21::text[], $22::bigint[], $23::bytea[],
        $24::text[], $25::text[]
    ) as e(ord, place, kind, at, payload, payload_json, refs)
    join updated u on u.ord = e.ord
), victims as materialized (
    select u.id, u.life, f.client, f.seq
    from unnest($31::bigint[], $32::uuid[], $33::bigint[]) as f(ord, client, seq)
    join updated u on u.ord = f.ord
), forgotten as (
    delete from request r using victims v
    where r.agent = v.id and r.life = v.life and r.client = v.client and r.seq = v.seq
    returning 1
), applied as (
    insert into request (agent, life, client, seq, issued_at, revision, reply)
    select u.id, u.life, r.client, r.seq, r.issued_at, u.revision, r.reply
    from unnest(
        $26::bigint[], $27::uuid[], $28::bigint[], $29::bigint[], $30::bytea[]
    ) as r(ord, client, seq, issued_at, reply)
    join updated u on u.ord = r.ord
    -- Counting makes all that is forgotten go first.
    where (select count(*) from forgotten) >= 0
    on conflict do nothing
)
select
    l.ord, l.epoch, l.owner is not null as owned, l.revision as found, l.thread_len,
    u.revision
from locked l left join updated u on u.ord = l.ord
