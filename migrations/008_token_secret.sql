-- A run's new secret can be replaced, and a token that was minted with the former
-- one may be stored before or after that: it is said which minted it.

alter table rotator.items
    -- The secret that minted new_token; null for the run's own. Means nothing
    -- without a token. Tokens that are in groups (minted) say it themselves.
    add column new_token_secret_id bigint;
