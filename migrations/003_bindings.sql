-- An app's own table of shops, where rotator reads tokens and writes new ones.
-- Names are kept as the catalogue spells them and quoted wherever they are used.

create table rotator.bindings (
    app_id              bigint primary key references rotator.apps,
    table_schema        text not null check (table_schema <> ''),
    table_name          text not null check (table_name <> ''),
    key_column          text not null,
    domain_column       text not null,
    access_token_column text,
    legacy_token_column text,
    oauth_token_column  text,
    -- A condition on the table's rows, as the operator wrote it; '' for none.
    condition           text not null default '',
    codec               text not null check (codec in ('plain', 'sealed')),
    created_by          text not null,
    created_at          timestamptz not null default now(),
    -- When the table was last read, by the clock at the reading's beginning.
    synced_at           timestamptz,
    -- How long that reading took.
    read_ms             integer not null default 0,
    -- What that reading left out: bad rows, and domains that are named twice.
    left_out            integer not null default 0,
    -- Rows that held a token which a run had replaced, and could not be mended.
    behind              integer not null default 0,
    check (access_token_column is not null or oauth_token_column is not null)
);

alter table rotator.shops
    -- The key of the shop's row in the bound table, as text.
    add column bound_key text,
    -- Set when that row was gone, or without a token, at the last look.
    add column unbound_at timestamptz;
create unique index shops_bound_key on rotator.shops (app_id, bound_key) where bound_key is not null;
