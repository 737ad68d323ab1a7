-- Declares a life of a node dead. The strongest lock waits for the claims that the
-- node has under way, and holds back those that come.
with seen as materialized (
    select cluster, incarnation, beat, state from node
    where cluster = $1 and incarnation = $2
    for update
), declared as (
    update node n set state = 'dead'
    from seen s
    where n.cluster = s.cluster and n.incarnation = s.incarnation
        and s.state = 'up' and ($3::bigint is null or s.beat = $3)
    returning n.incarnation
)
select s.state = 'dead' or (select count(*) from declared) > 0 as dead from seen s
