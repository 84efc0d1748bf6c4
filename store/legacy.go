package store

import (
	"context"
	"fmt"
)

// Legacy counts an app's shops by the credentials that are stored of them.
type Legacy struct {
	Shops int `json:"shops"`
	// Tokens and Passwords have a legacy credential of that kind.
	Tokens    int `json:"legacy_tokens"`
	Passwords int `json:"legacy_passwords"`
	// WithOAuth have an access token, with or without a legacy credential.
	WithOAuth int `json:"with_oauth_token"`
	// Neither have no credential at all.
	Neither  int `json:"without_credential"`
	Excluded int `json:"excluded"`
	// Underived have a legacy credential and no access token, and are not
	// excluded: what a token migration is for.
	Underived int `json:"underived"`
}

var countLegacy = sql(`select count(*), count(*) filter (where legacy_kind = 'token'), count(*) filter (where legacy_kind = 'password'),
		count(*) filter (where access_token is not null), count(*) filter (where access_token is null and legacy_token is null),
		count(*) filter (where excluded_at is not null), count(*) filter (where ` + underived + `)
	from rotator.shops s where app_id = $1`)

const (
	underived = `s.legacy_token is not null and s.access_token is null and s.excluded_at is null`
	// The legacy credential that is stored now is not the one that was derived
	// from, or was then taken for the other kind: only a password's derived token
	// is itself.
	derivedOfAnother = `(s.derived_from is distinct from s.legacy_token_fingerprint
		or (s.derived_fingerprint = s.derived_from) is distinct from (s.legacy_kind = 'password'))`
	// A shop that was settled as having nothing to derive, or whose derived token
	// is of another legacy credential, is to be derived (again). What a person
	// must look at, or has accepted, is left.
	needsDerivation = underived + ` and ` + derivedOfAnother + ` and i.state in ('exchanged', 'skipped')`

	// What a token migration makes of a shop that enters it.
	legacyState = `case when excluded_reason is null and not oauth and legacy then 'pending' else 'skipped' end,
		case when excluded_reason is not null then 'excluded: ' || excluded_reason
			when oauth and legacy then 'has an OAuth token already; its legacy credential is scrubbed with the others'
			when oauth then 'has an OAuth token already'
			when not legacy then 'no legacy token is stored' end`
	legacyColumns = `s.id, s.excluded_reason, s.access_token is not null as oauth, s.legacy_token is not null as legacy`
)

var (
	walkLegacyPage = sql(`with page as (
			select ` + legacyColumns + ` from rotator.shops s where app_id = $2 and id > $3 order by id limit $5
		), placed as (
			select *, $4::bigint + row_number() over (order by id) as position from page
		), added as (
			insert into rotator.items (run_id, position, shop_id, state, detail)
			select $1, position, id, ` + legacyState + `
			from placed on conflict (run_id, shop_id) do nothing
		)
		select coalesce(max(id), 0), count(*), count(*) from placed`)
	lateLegacy = sql(`select
		(select count(*) from rotator.shops s where s.app_id = $2 and s.legacy_token is not null and not exists
			(select from rotator.items i where i.run_id = $1 and i.shop_id = s.id))
		+ (select count(*) from rotator.items i join rotator.shops s on s.id = i.shop_id where i.run_id = $1 and ` + needsDerivation + `)`)
	sweepLegacy = sql(`with late as (
			select ` + legacyColumns + `, $3::bigint + row_number() over (order by s.id) as position
			from rotator.shops s where s.app_id = $2 and s.legacy_token is not null and not exists
				(select from rotator.items i where i.run_id = $1 and i.shop_id = s.id)
		)
		insert into rotator.items (run_id, position, shop_id, state, detail)
		select $1, position, id, ` + legacyState + ` from late`)
	// Their batches are worked again, which repair sees to: a list that replaced
	// every legacy token must not be derived shop by shop.
	reopenDerived = sql(`update rotator.items i set state = 'pending', new_token = null, class = null, detail = null, next_attempt_at = null,
			checked_at = null, new_alive = null, tries = 0, attempt = i.attempt + 1
		from rotator.shops s where i.run_id = $1 and s.id = i.shop_id and ` + needsDerivation)
	// Nobody has them: what is pending there was not sent.
	reopenBatches = sql(`update rotator.batches b set settled_at = null, worker_id = null, taken_at = null, claimed = false where b.run_id = $1 and b.settled_at is not null and exists
		(select from rotator.items i where i.run_id = b.run_id and i.position between b.first_position and b.last_position
			and i.state = 'pending')`)
)

// Legacy counts what a token migration of the app would meet.
func (s *Store) Legacy(ctx context.Context, appID int64) (Legacy, error) {
	var l Legacy
	err := s.pool.QueryRow(ctx, countLegacy, appID).Scan(&l.Shops, &l.Tokens, &l.Passwords, &l.WithOAuth, &l.Neither, &l.Excluded, &l.Underived)
	if err != nil {
		return l, fmt.Errorf("count legacy tokens: %w", err)
	}
	return l, nil
}

// walkStatement is the one that takes a page of shops into the run.
func (r Run) walkStatement(size int) (statement string, args []any) {
	args = []any{r.ID, r.AppID, r.WalkCursor, r.LastPosition, size}
	if r.isMigration() {
		return walkLegacyPage, args
	}
	return walkPage, append(args, len(r.Settings.CanaryShops))
}

// sweepLegacy takes shops in that were given a legacy credential since the walk,
// and opens items again whose legacy credential is another by now.
func (t *Tx) sweepLegacy(ctx context.Context, r Run) error {
	tag, err := t.tx.Exec(ctx, sweepLegacy, r.ID, r.AppID, r.LastPosition)
	if err != nil {
		return fmt.Errorf("sweep late legacy shops: %w", err)
	}
	late := tag.RowsAffected()
	if err := t.addLateWave(ctx, r, late); err != nil {
		return err
	}
	if tag, err = t.tx.Exec(ctx, reopenDerived, r.ID); err != nil {
		return fmt.Errorf("open shops with another legacy token: %w", err)
	}
	again := tag.RowsAffected()
	if again > 0 {
		if _, err := t.tx.Exec(ctx, reopenBatches, r.ID); err != nil {
			return fmt.Errorf("open their batches: %w", err)
		}
	}
	return t.Log(ctx, ActorEngine, "run.swept", r.ID, map[string]any{"late": late, "again": again})
}
