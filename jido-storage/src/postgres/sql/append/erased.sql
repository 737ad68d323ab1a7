, erased as (
    -- Older threads too: what was committed while an earlier statement waited for
    -- the lock could not be seen by it.
    delete from entry e using updated u
    where u.erase_thread and e.agent = any(array[u.id]) and e.thread < u.thread
)
