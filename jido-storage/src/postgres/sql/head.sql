-- An agent's record.
select owner, epoch, revision, thread_len, created_at, updated_at
from agent
where cluster = $1 and manager = $2 and key = $3 and not deleted
