, applied as (
    insert into request (agent, life, client, seq, issued_at, revision, reply)
    select u.id, u.life, r.client, r.seq, r.issued_at, u.revision, r.reply
    from {requests} join updated u on u.ord = r.commit{after_forgotten}
    on conflict do nothing
)
