-- The records of jido. Numbers that count are bigint. Times are milliseconds since
-- the Unix epoch: to_timestamp(at / 1000.0) shows them. Text is compared byte by byte.

-- One life of one node.
create table node (
    cluster text collate "C" not null,
    incarnation uuid not null,
    name text collate "C" not null,
    beat bigint not null check (beat > 0),
    state text not null check (state in ('up', 'dead')),
    address text not null,
    metadata jsonb not null,
    registered_at bigint not null check (registered_at >= 0),
    primary key (cluster, incarnation)
);

-- One life of a name is up at a time.
create unique index node_up on node (cluster, name) where state = 'up';

-- An agent, deleted ones too: their epoch goes on counting.
create table agent (
    id bigint generated always as identity primary key,
    cluster text collate "C" not null,
    manager text collate "C" not null,
    key text collate "C" not null,
    owner uuid,
    epoch bigint not null check (epoch > 0),
    revision bigint not null default 0 check (revision >= 0),
    deleted boolean not null default false,
    -- Counts deletions. Requests of an earlier life are not this one's, even if one
    -- was committed while the deletion could not see it yet.
    life bigint not null default 0,
    -- Counts threads, likewise.
    thread bigint not null default 0,
    thread_len bigint not null default 0 check (thread_len >= 0),
    thread_metadata jsonb,
    checkpoint bytea,
    covers bigint not null default 0 check (covers >= 0),
    -- When to be woken at the latest, and the reminders, which mean something to jido alone.
    wake_at bigint check (wake_at >= 0),
    reminders bytea,
    -- Requests made before this time may have been forgotten.
    floor bigint not null default 0 check (floor >= 0),
    created_at bigint not null check (created_at >= 0),
    updated_at bigint not null check (updated_at >= 0),
    unique (cluster, manager, key)
)
-- Room on the page for the next version of a row: every commit writes one, and no
-- index has to follow it there, unless it changes when to be woken.
with (fillfactor = 70);

-- Who is to be woken, by time.
create index agent_due on agent (cluster, manager, wake_at, key) where wake_at is not null;

-- The entries of threads. There is no foreign key: agents are never removed, and its
-- check would lock the agent's row again for each entry.
create table entry (
    agent bigint not null,
    thread bigint not null,
    seq bigint not null check (seq >= 0),
    revision bigint not null check (revision > 0),
    epoch bigint not null check (epoch > 0),
    kind text not null,
    at bigint not null check (at >= 0),
    -- MessagePack.
    payload bytea not null,
    -- The same as JSON where that was asked for and is possible, for people to query.
    payload_json jsonb,
    -- Pairs of name and value.
    refs jsonb,
    primary key (agent, thread, seq)
);

-- Requests whose effects are committed.
create table request (
    agent bigint not null,
    life bigint not null,
    client uuid not null,
    -- Of 64 bits, so one from 2^63 on is stored as the negative number of the same bits.
    seq bigint not null,
    issued_at bigint not null check (issued_at >= 0),
    revision bigint not null check (revision > 0),
    reply bytea not null,
    primary key (agent, life, client, seq)
);
