-- An agent's record, checkpoint, reminders and window of requests, as of one moment.
select
    a.owner, a.epoch, a.revision, a.thread_len, a.created_at, a.updated_at,
    a.checkpoint, a.covers, a.thread_metadata::text as thread_metadata, a.floor,
    a.wake_at, a.reminders,
    r.clients, r.seqs, r.issued, r.revisions
from agent a cross join lateral (
    select
        array_agg(client) as clients, array_agg(seq) as seqs,
        array_agg(issued_at) as issued, array_agg(revision) as revisions
    from request
    where agent = a.id and life = a.life
) r
where a.cluster = $1 and a.manager = $2 and a.key = $3 and not a.deleted
