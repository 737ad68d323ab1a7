, written as (
    insert into entry (
        agent, thread, seq, revision, epoch, kind, at, payload{described}
    )
    select
        u.id, u.thread, u.begins + e.place, u.revision, u.epoch,
        e.kind, e.at, e.payload{of_described}
    from {entries} join updated u on u.ord = e.commit
)
