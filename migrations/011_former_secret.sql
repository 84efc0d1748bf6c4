-- Whose token an item's run replaced.

alter table rotator.items
    -- The secret that minted old_token. Null: the run's old one, or nobody knows. No
    -- foreign key: secrets are never deleted.
    add column old_secret_id bigint,
    -- The shop's token generation that the run's last swap replaced: while the shop's is
    -- the next one, nobody came between. Null for what was written before this column.
    add column old_generation bigint,
    -- Whether the check after the revoke had a token of the old secret to ask with, and
    -- whether the shop's was of the new one.
    add column old_known boolean,
    add column new_known boolean;

-- An item that is not proven may have been claimed again, and its generation with it.
update rotator.items set old_generation = generation where state = 'proven' and old_token is not null;
