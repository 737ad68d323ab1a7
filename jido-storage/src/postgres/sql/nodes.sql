-- All lives of nodes of a cluster.
select incarnation, name, beat, state, address, metadata::text as metadata, registered_at
from node
where cluster = $1
order by incarnation
