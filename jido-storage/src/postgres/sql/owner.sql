-- Who owns an agent, and whether that node is up, as of one moment.
select a.owner, a.epoch, n.state = 'up' as up
from agent a left join node n on n.cluster = a.cluster and n.incarnation = a.owner
where a.cluster = $1 and a.manager = $2 and a.key = $3
