-- What was committed for a request.
select r.issued_at, r.revision, r.reply
from agent a cross join lateral (
    select issued_at, revision, reply from request
    where agent = a.id and life = a.life and client = $4 and seq = $5
    -- So that the agent is known before its request is looked up.
    offset 0
) as r
where a.cluster = $1 and a.manager = $2 and a.key = $3 and not a.deleted
