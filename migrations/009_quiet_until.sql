-- Whoever makes a shop due that waits, an operator or the end of a hold, must know
-- whether it waits because the platform asked for it.

alter table rotator.items
    -- Until when the platform asked for the shop to be left alone; null if it never
    -- did, or if an operator said to call it all the same.
    add column quiet_until timestamptz;
