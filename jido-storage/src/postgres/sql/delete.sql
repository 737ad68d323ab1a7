-- Deletes an agent. The row stays, so that its epoch goes on counting.
with locked as materialized (
    select id, epoch, epoch = $4 and owner is not null as passes
    from agent
    where cluster = $1 and manager = $2 and key = $3
    for no key update
), updated as (
    update agent a set
        deleted = true, owner = null, revision = a.revision + 1,
        life = a.life + 1, thread = a.thread + 1, thread_len = 0,
        thread_metadata = null, checkpoint = null, covers = 0,
        wake_at = null, reminders = null, floor = 0,
        updated_at = $5
    from locked l
    where a.id = any(array[l.id]) and l.passes
    returning a.id, a.life, a.thread, a.revision
), entries as (
    -- What was committed while this statement waited for the lock can't be seen
    -- here. It belongs to an earlier life and thread, and nobody reads it.
    delete from entry e using updated u where e.agent = any(array[u.id]) and e.thread < u.thread
), requests as (
    delete from request r using updated u where r.agent = any(array[u.id]) and r.life < u.life
)
select l.epoch, u.revision from locked l left join updated u on u.id = l.id
