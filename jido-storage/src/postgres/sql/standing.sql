-- How agents stand whose commits were refused, deleted ones too. `ord` says whose,
-- counted from 1.
select i.ord, a.epoch, a.owner is not null as owned, a.revision, a.thread_len
from unnest($1::text[], $2::text[], $3::text[]) with ordinality as i(cluster, manager, key, ord)
join agent a on a.cluster = any(array[i.cluster]) and a.manager = i.manager and a.key = i.key
