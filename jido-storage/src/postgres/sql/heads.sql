-- The records of many agents, deleted ones too, as of one moment. `ord` says whose,
-- counted from 1.
select
    i.ord, a.id, a.owner, a.epoch, a.revision, a.thread_len, a.created_at, a.updated_at, a.deleted
from unnest($1::text[], $2::text[], $3::text[]) with ordinality as i(cluster, manager, key, ord)
join agent a on a.cluster = any(array[i.cluster]) and a.manager = i.manager and a.key = i.key
