-- What was committed for a request.
select r.issued_at, r.revision, r.reply
from agent a join request r on r.agent = a.id and r.life = a.life
where a.cluster = $1 and a.manager = $2 and a.key = $3 and not a.deleted
    and r.client = $4 and r.seq = $5
