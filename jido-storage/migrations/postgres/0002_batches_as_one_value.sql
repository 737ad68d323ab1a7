-- A batch of commits is one value of a statement, an array of these.
create type new_entry as (
    kind text,
    at bigint,
    -- MessagePack, and the same as JSON where that was asked for.
    payload bytea,
    payload_json text,
    -- JSON.
    refs text
);

create type new_request as (
    client uuid,
    seq bigint,
    issued_at bigint,
    reply bytea
);

create type forgotten_request as (
    client uuid,
    seq bigint
);

create type new_commit as (
    cluster text,
    manager text,
    key text,
    -- What the agent's record has to say.
    epoch bigint,
    expected bigint,
    -- What is added to the revision.
    advance bigint,
    erase_checkpoint boolean,
    erase_thread boolean,
    checkpoint bytea,
    covers bigint,
    -- JSON, for a thread that begins.
    thread_metadata text,
    floor bigint,
    release boolean,
    at bigint,
    -- Whether the next two are to be written.
    remind boolean,
    wake_at bigint,
    reminders bytea,
    entries new_entry[],
    requests new_request[],
    forget forgotten_request[]
);

-- A check is read and compiled anew by every statement that writes to its table, which
-- small batches feel. What is read is checked by whoever reads it.
alter table agent
    drop constraint agent_epoch_check,
    drop constraint agent_revision_check,
    drop constraint agent_thread_len_check,
    drop constraint agent_covers_check,
    drop constraint agent_wake_at_check,
    drop constraint agent_floor_check,
    drop constraint agent_created_at_check,
    drop constraint agent_updated_at_check;

alter table entry
    drop constraint entry_seq_check,
    drop constraint entry_revision_check,
    drop constraint entry_epoch_check,
    drop constraint entry_at_check;

alter table request
    drop constraint request_issued_at_check,
    drop constraint request_revision_check;
