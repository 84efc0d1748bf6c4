-- What a token migration leaves on a shop: the fingerprints of the token that
-- was derived and of the legacy credential that it was derived from. The first
-- says, also after the legacy credential is gone, that a value is a derived one,
-- which is never derived from again; the second says whether the credential that
-- is stored now is the one that was derived from.

alter table rotator.shops
    add column derived_fingerprint text,
    add column derived_from text,
    add column derived_at timestamptz,
    add check ((derived_fingerprint is null) = (derived_at is null)),
    add check ((derived_from is null) = (derived_at is null));
