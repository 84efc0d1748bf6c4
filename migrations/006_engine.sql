-- What makes a shop cheap: it is claimed with its batch, and a token that is not
-- proven yet is stored with others of its batch, so that most items are updated
-- once.

alter table rotator.batches
    -- A worker has, or had when it was last heard of, claimed the pending items:
    -- any may have been sent. Cleared by a worker that leaves the batch in order.
    add column claimed boolean not null default false;

-- Tokens of one batch that were committed together, to be proven: sealed as one
-- value. One of them counts for as long as its item is pending at the attempt
-- before the token's; taking the batch over moves those into the items.
create table rotator.minted (
    id         bigint generated always as identity primary key,
    run_id     bigint not null,
    batch      integer not null,
    -- The batch's fence that they were claimed under.
    fence      bigint not null,
    positions  bigint[] not null,
    tokens     bytea not null,
    created_at timestamptz not null default now()
    -- No foreign key: whoever inserts has locked the batch's row.
);
create index minted_batch on rotator.minted (run_id, batch);
-- Ciphertext does not compress.
alter table rotator.minted alter column tokens set storage external;

-- One update for most items needs less room in their pages.
alter table rotator.items set (fillfactor = 28);
