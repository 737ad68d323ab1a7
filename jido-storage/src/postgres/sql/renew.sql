-- Renews a node's lease. No key column changes, so claims by the node don't wait.
update node set beat = beat + 1
where cluster = $1 and incarnation = $2 and state = 'up'
returning beat
