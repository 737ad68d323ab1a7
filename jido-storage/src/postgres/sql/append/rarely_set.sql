,
        thread = a.thread + i.erase_thread::int,
        thread_metadata = case
            when i.entries > 0 and {kept_len} = 0 then i.thread_metadata::jsonb
            when i.erase_thread then null
            else a.thread_metadata
        end,
        wake_at = case when i.remind then i.wake_at else a.wake_at end,
        reminders = case when i.remind then i.reminders else a.reminders end,
        owner = case when i.release then null else a.owner end