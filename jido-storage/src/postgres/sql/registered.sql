-- What stands in a registration's way: the life's own record, or the one that is up.
select incarnation, name, beat, state, address, metadata::text as metadata, registered_at
from node
where cluster = $1 and (incarnation = $2 or (name = $3 and state = 'up'))
order by incarnation <> $2
limit 1
