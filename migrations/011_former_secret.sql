-- Which secret minted the token that an item's run replaced. Null: the run's old one,
-- or nobody knows. No foreign key: secrets are never deleted.

alter table rotator.items add column old_secret_id bigint;
