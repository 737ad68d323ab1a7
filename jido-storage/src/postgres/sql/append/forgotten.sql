, forgotten as (
    delete from request r using (
        select u.id, u.life, f.client, f.seq
        from {forgotten} join updated u on u.ord = f.commit
        -- So that they are known before requests are looked up.
        offset 0
    ) as f
    where r.agent = any(array[f.id]) and r.life = f.life
        and r.client = f.client and r.seq = f.seq
    returning 1
)
