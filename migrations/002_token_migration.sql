-- What a token migration leaves on a shop. The fingerprint of the token that
-- was derived from the shop's legacy token says, also after the legacy token is
-- gone, that a value is a derived one: it is never derived from again.

alter table rotator.shops
    add column derived_fingerprint text,
    add column derived_at timestamptz,
    add check ((derived_fingerprint is null) = (derived_at is null));
