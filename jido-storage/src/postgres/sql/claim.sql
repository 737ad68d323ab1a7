-- Claims an agent where nobody owns it, its owner is the claimant, or is one of
-- those given. What the owner's node is like is not looked at here: a statement sees
-- nodes as they were when it began, and it may wait for the agent's row meanwhile.
with claimant as (
    -- A node that is being declared dead is waited for; a renewal is not.
    select cluster from node
    where cluster = $1 and incarnation = $4 and state = 'up'
    for key share
), claimed as (
    insert into agent as a (cluster, manager, key, owner, epoch, created_at, updated_at)
    select $1, $2, $3, $4, 1, $6, $6 from claimant
    on conflict (cluster, manager, key) do update set
        owner = excluded.owner,
        epoch = a.epoch + 1,
        created_at = case when a.deleted then excluded.created_at else a.created_at end,
        deleted = false,
        updated_at = excluded.updated_at
    where a.owner is null or a.owner = excluded.owner or a.owner = any($5::uuid[])
    returning a.id, a.epoch
)
select u.up, c.id, c.epoch
from (select count(*) as up from claimant) u left join claimed c on true
