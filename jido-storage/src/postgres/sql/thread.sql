-- A page of a thread: up to $5 entries from place $4 on, and no more than $6 bytes
-- unless the first is larger. An agent without entries there has one row of nulls.
select
    a.thread_len, e.seq, e.revision, e.epoch, e.kind, e.at, e.payload, e.refs
from agent a left join lateral (
    select seq, revision, epoch, kind, at, payload, refs::text as refs
    from (
        select
            seq, revision, epoch, kind, at, payload, refs,
            -- Sizes are known without reading what is stored out of line.
            sum(octet_length(payload) + coalesce(pg_column_size(refs), 0)) over (order by seq) as total
        from (
            select seq, revision, epoch, kind, at, payload, refs from entry
            where agent = a.id and thread = a.thread and seq >= $4 and seq < a.thread_len
            order by seq
            limit $5
        ) as found
    ) as measured
    where total <= $6 or seq = $4
) e on true
where a.cluster = $1 and a.manager = $2 and a.key = $3 and not a.deleted
order by e.seq
