-- What an operator may command while a run works.

alter table rotator.items
    -- An operator overrode the shop's cooldown: the next claim forgets it.
    add column ignore_cooldown boolean not null default false;
