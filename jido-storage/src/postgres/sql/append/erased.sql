, erased as (
    -- Of those who erase nothing there is nothing older. And of those who do there may be
    -- more: what was committed while an earlier statement waited for the lock could not be
    -- seen by it.
    delete from entry e using updated u
    where e.agent = any(array[u.id]) and e.thread < u.thread
)
