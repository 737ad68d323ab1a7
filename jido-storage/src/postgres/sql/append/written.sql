, written as (
    insert into entry (
        agent, thread, seq, revision, epoch, kind, at, payload, payload_json, refs
    )
    select
        u.id, u.thread, u.begins + e.ordinality - 1, u.revision, u.epoch,
        e.kind, e.at, e.payload, e.payload_json::jsonb, e.refs::jsonb
    from updated u cross join lateral unnest(u.entries) with ordinality as e
)
