-- A batch of commits is an array for each column that it writes, and an agent is found by
-- its number. Nodes of builds before this version write with these types, and can't any more.
drop type new_commit;
drop type forgotten_request;
drop type new_request;
drop type new_entry;
