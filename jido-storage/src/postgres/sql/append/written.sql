, written as (
    insert into entry (
        agent, thread, seq, revision, epoch, kind, at, payload, payload_json, refs
    )
    select
        u.id, u.thread, u.begins + e.place, u.revision, u.epoch,
        e.kind, e.at, e.payload, e.payload_json::jsonb, e.refs::jsonb
    from {entries} join updated u on u.ord = e.commit
)
