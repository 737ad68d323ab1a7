,
        checkpoint = coalesce(i.checkpoint, {kept_checkpoint}),
        covers = case when i.checkpoint is null then {kept_covers} else i.covers end,
        floor = greatest(a.floor, i.floor)