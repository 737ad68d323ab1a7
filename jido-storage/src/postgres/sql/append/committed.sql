select array_agg(ord) as committed from updated
