-- What an operator may command while a run works.

alter table rotator.items
    -- An operator overrode the shop's cooldown: the next claim forgets it.
    add column ignore_cooldown boolean not null default false;

alter table rotator.runs
    -- Ids of shops that an operator excluded while the run was open: a worker that
    -- has read one ahead of its call lets it be.
    add column excluded bigint[] not null default '{}';

-- A run that goes by importance walks in the order (priority descending, id).
-- Kept small enough that its negative exists: the index below is on that, so that
-- a page after (priority, id) is one range of it.
alter table rotator.shops
    add check (priority between -1000000 and 1000000);
create index shops_by_priority on rotator.shops (app_id, (-priority), id);

alter table rotator.runs
    -- With walk_cursor, the id, where such a walk stands.
    add column walk_priority integer;
-- What is known of whether the fleet fits the window: what the plan measured
-- before the run was armed, and the verdict that was last taken on the run.
alter table rotator.runs
    add column preflight jsonb,
    add column verdict   jsonb,
    -- The worker that looks for the wire variant, while it is not pinned.
    add column probe_by  uuid;

-- The most calls that the process makes at once.
alter table rotator.workers
    add column cap integer not null default 0;

-- What an app's own health URL answered while its run exchanged. polled_at is
-- the turn of one worker: the others wait for the next.
create table rotator.health_polls (
    run_id    bigint primary key references rotator.runs,
    polled_at timestamptz not null,
    ok_at     timestamptz,
    failures  integer not null default 0,
    why       text
);
