-- An app outside this database is told of new tokens over HTTP: where from and
-- how that goes. The URL is one of the app's settings.

create table rotator.receivers (
    app_id          bigint primary key references rotator.apps,
    key             bytea,
    key_fingerprint text,
    -- Tries in a row that failed, of any shop. From some number on the receiver
    -- counts as down, and is asked with one shop at a time.
    failures        integer not null default 0,
    down_since      timestamptz,
    -- No try begins before.
    not_before      timestamptz not null default now(),
    check ((key is null) = (key_fingerprint is null))
);

-- Tokens that an app is still to be told of. One row per shop: the newest token
-- is the one that is sent, so that order is kept by construction. A row is
-- acknowledged up to the token generation that the app answered with 2xx.
-- No foreign keys to apps and runs: both are never deleted, and their triggers
-- would cost a shop's first swap more than the row.
create table rotator.deliveries (
    shop_id                 bigint primary key references rotator.shops,
    app_id                  bigint not null,
    run_id                  bigint not null,
    generation              bigint not null,
    -- When the newest token became the shop's.
    swapped_at              timestamptz not null default now(),
    acknowledged_generation bigint not null default 0,
    acknowledged_at         timestamptz,
    -- Up to here an operator accepted that the app does not know.
    waived_generation       bigint not null default 0,
    -- Raised by every claim; the fence of every outcome.
    attempt                 integer not null default 0,
    -- Attempts since the newest token or the last retry: what backs off.
    tries                   integer not null default 0,
    -- Given to a job, or claimed by a worker, until next_attempt_at at most.
    leased                  boolean not null default false,
    worker_id               uuid,
    next_attempt_at         timestamptz,
    -- The app answered 410: it wants this token no more.
    stopped_at              timestamptz,
    last_status             integer,
    last_error              text,
    check ((next_attempt_at is null) = (acknowledged_generation >= generation or stopped_at is not null)),
    check (not leased or next_attempt_at is not null),
    check (worker_id is null or leased)
) with (fillfactor = 70);
create index deliveries_open on rotator.deliveries (app_id, next_attempt_at) where acknowledged_generation < generation;
create index deliveries_leased on rotator.deliveries (app_id) where leased;
