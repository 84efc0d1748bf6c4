-- Which run gave a shop its token, and which derived one for it: a clock that is
-- set back must not decide that.

alter table rotator.shops
    -- Set with rotated_at, derived_at. Null for what was written before these
    -- columns: then the times tell. No foreign keys: runs are never deleted.
    add column rotated_run bigint,
    add column derived_run bigint;
