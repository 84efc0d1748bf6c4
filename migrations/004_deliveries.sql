-- Tokens that an app outside this database is still to be told of. One row per
-- shop: the newest token is the one that is sent, so that order is kept by
-- construction. A row is acknowledged up to the token generation that the app
-- answered with 2xx.

alter table rotator.apps
    add column deliver_key bytea,
    add column deliver_key_id bigint generated always as (rotator.sealed_key_id(deliver_key)) stored;

create table rotator.deliveries (
    shop_id                 bigint primary key references rotator.shops,
    app_id                  bigint not null references rotator.apps,
    run_id                  bigint references rotator.runs,
    generation              bigint not null,
    acknowledged_generation bigint not null default 0,
    acknowledged_at         timestamptz,
    -- Raised by every claim; the fence of every outcome.
    attempt                 integer not null default 0,
    -- Attempts since the newest token or the last retry: what backs off.
    tries                   integer not null default 0,
    next_attempt_at         timestamptz,
    last_status             integer,
    last_error              text,
    created_at              timestamptz not null default now(),
    check ((next_attempt_at is null) = (acknowledged_generation >= generation))
) with (fillfactor = 70);
create index deliveries_due on rotator.deliveries (next_attempt_at) where next_attempt_at is not null;
