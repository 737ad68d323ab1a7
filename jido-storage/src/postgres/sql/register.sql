-- Registers a life of a node unless it is registered or another of its name is up.
insert into node (cluster, incarnation, name, beat, state, address, metadata, registered_at)
values ($1, $2, $3, 1, 'up', $4, $5::text::jsonb, $6)
on conflict do nothing
returning incarnation, name, beat, state, address, metadata::text as metadata, registered_at
