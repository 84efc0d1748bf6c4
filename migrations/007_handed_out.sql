-- A shop that answers late holds up the end of its batch, but no other batch.

alter table rotator.batches
    -- All its shops are under way at the worker that has it, whose job ended with
    -- that. Means nothing without a worker; cleared when it is taken.
    add column handed_out boolean not null default false;
