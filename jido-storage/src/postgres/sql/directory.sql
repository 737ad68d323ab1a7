-- A page of a manager's directory, in the order of the keys' bytes.
select key, owner, epoch, revision, thread_len, created_at, updated_at
from agent
where cluster = $1 and manager = $2 and key > $3
    and not deleted and (owner is not null or revision > 0)
order by key
limit $4
