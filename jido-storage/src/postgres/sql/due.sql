-- A page of a manager's agents that are to be woken, by time and then by key.
select wake_at, key
from agent
where cluster = $1 and manager = $2 and wake_at <= $3 and (wake_at, key) > ($4, $5)
order by wake_at, key
limit $6
