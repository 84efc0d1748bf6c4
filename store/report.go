package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// ItemInfo is one shop's row in a run, as people are shown it.
type ItemInfo struct {
	Position int64              `json:"position"`
	Domain   string             `json:"domain"`
	State    rotation.ItemState `json:"state"`
	Class    rotation.Class     `json:"class,omitempty"`
	Detail   string             `json:"detail,omitempty"`
	Attempt  int                `json:"attempt"`
	// LatencyMS is that of the shop's exchange and proof together.
	LatencyMS     int        `json:"latency_ms,omitempty"`
	ClaimedAt     *time.Time `json:"claimed_at,omitempty"`
	ExchangedAt   *time.Time `json:"exchanged_at,omitempty"`
	ProvenAt      *time.Time `json:"proven_at,omitempty"`
	NextAttemptAt *time.Time `json:"next_attempt_at,omitempty"`
	OldDead       *bool      `json:"old_token_dead,omitempty"`
	NewAlive      *bool      `json:"new_token_alive,omitempty"`
	// Acted tells that a token may have been minted that nobody holds.
	Acted bool `json:"-"`
}

const itemColumns = `i.position, s.domain, ` + shownState + `, coalesce(i.class, ''), coalesce(i.detail, ''), ` + shownAttempt + `, coalesce(i.latency_ms, 0),
	coalesce(i.claimed_at, held.claimed_at), coalesce(i.exchanged_at, held.exchanged_at), i.proven_at, i.next_attempt_at, i.old_dead, i.new_alive, i.acted
	from rotator.items i join rotator.shops s on s.id = i.shop_id` + heldBatch

// mended tells of an item of a token migration that its derived token is not of
// the legacy credential that is stored now.
const mended = underived + ` and ` + derivedOfAnother + ` and exists (select from rotator.runs r where r.id = i.run_id and r.kind = 'token_migration')`

var (
	readByState = sql(`select ` + itemColumns + ` where i.run_id = $1 and i.state = any($2) and i.position > $3 order by i.position limit $4`)
	// The few are chosen before anything is joined to them: all would be sorted.
	readSlowest = sql(`with slowest as (select position from rotator.items where run_id = $1 and latency_ms > 0
			order by latency_ms desc, position limit $2)
		select ` + itemColumns + ` where i.run_id = $1 and i.position in (select position from slowest)
		order by i.latency_ms desc, i.position`)
	// Whatever stands out: parked, tried most often, slowest.
	readWorst = sql(`with worst as (select position from rotator.items where run_id = $1
			and (state in ('parked', 'retrying', 'unknown') or attempt > 1 or latency_ms is not null)
			order by state = 'parked' desc, attempt desc, latency_ms desc nulls last, position limit $2)
		select ` + itemColumns + ` where i.run_id = $1 and i.position in (select position from worst)
		order by i.state = 'parked' desc, i.attempt desc, i.latency_ms desc nulls last, i.position`)
	readBroken   = sql(`select ` + itemColumns + ` where i.run_id = $1 and i.state = 'proven' and not i.new_alive order by i.position limit $2`)
	readOldAlive = sql(`select ` + itemColumns + ` where i.run_id = $1 and i.state = 'proven' and not i.old_dead order by i.position limit $2`)
	readItem     = sql(`select ` + itemColumns + ` where i.run_id = $1 and s.domain = $2`)
	countClass   = sql(`select state, coalesce(class, ''), count(*) from rotator.items
		where run_id = $1 and state in ('retrying', 'unknown', 'parked', 'skipped', 'waived') group by 1, 2 order by 3 desc, 1, 2`)
	// Skipped shops are tried again only when they are meant: by class or name.
	// A derived token whose legacy credential was mended is not asked with again.
	retryItems = sql(`update rotator.items i set next_attempt_at = greatest(now(), i.quiet_until), tries = 0,
			new_token = case when not (` + mended + `) then i.new_token end,
			state = case when i.state = 'parked' and i.new_token is not null and not (` + mended + `) then 'exchanged' else 'retrying' end
		from rotator.shops s where i.run_id = $1 and s.id = i.shop_id
			and (i.state in ('parked', 'retrying') or (i.state = 'skipped' and i.class is not null and ($2 <> '' or $3 <> '')))
			and ($2 = '' or i.class = $2) and ($3 = '' or s.domain = $3)`)
	// A shop is due now whatever it asked for, and whoever claims it forgets that.
	ignoreCooldown = sql(`update rotator.items i set ignore_cooldown = true, next_attempt_at = now(), quiet_until = null
		from rotator.shops s where i.run_id = $1 and s.id = i.shop_id and s.domain = $2
			and i.state in ('retrying', 'unknown', 'exchanged') and i.next_attempt_at is not null`)
	waiveItem = sql(`update rotator.items i set state = 'waived', detail = $3, next_attempt_at = null
		from rotator.shops s, rotator.runs r where i.run_id = $1 and s.id = i.shop_id and s.domain = $2 and r.id = i.run_id
			and (i.state in ('parked', 'retrying') or (i.state = 'proven' and r.phase in ('revoked', 'webhooks_single')
				and coalesce(not (i.old_dead and i.new_alive), true)))`)
	// Before a cutover a derived token stays beside what the shop uses.
	waiveFirst = sql(`select i.position, i.shop_id, i.generation, i.new_token, i.run_id, coalesce(i.new_token_secret_id, r.new_secret_id, r.old_secret_id, 0), coalesce(i.exchanged_at, 'epoch')
		from rotator.items i join rotator.shops s on s.id = i.shop_id join rotator.runs r on r.id = i.run_id
		where i.run_id = $1 and s.domain = $2 and i.state in ('parked', 'exchanged') and i.new_token is not null and i.class is distinct from 'wrong_shop'
			and (r.kind = 'rotation' or (r.phase = 'cutover' and i.class is distinct from 'unauthorized'))`)
)

// Items lists up to n items of a run in the given states, after a position.
func (s *Store) Items(ctx context.Context, runID int64, states []rotation.ItemState, after int64, n int) ([]ItemInfo, error) {
	return s.items(ctx, readByState, runID, states, after, n)
}

// Slowest lists the n items whose exchange took longest.
func (s *Store) Slowest(ctx context.Context, runID int64, n int) ([]ItemInfo, error) {
	return s.items(ctx, readSlowest, runID, n)
}

// Worst lists up to n shops that stand out, the parked first, then those that
// were tried most often, then the slowest.
func (s *Store) Worst(ctx context.Context, runID int64, n int) ([]ItemInfo, error) {
	return s.items(ctx, readWorst, runID, n)
}

// Broken lists up to n shops whose new token was dead after the revoke.
func (s *Store) Broken(ctx context.Context, runID int64, n int) ([]ItemInfo, error) {
	return s.items(ctx, readBroken, runID, n)
}

// OldAlive lists up to n shops whose old token still answered after the revoke.
// Their new one may be dead, too: then Broken has them as well.
func (s *Store) OldAlive(ctx context.Context, runID int64, n int) ([]ItemInfo, error) {
	return s.items(ctx, readOldAlive, runID, n)
}

// Item is one shop's row in the run.
func (s *Store) Item(ctx context.Context, runID int64, domain string) (ItemInfo, error) {
	all, err := s.items(ctx, readItem, runID, domain)
	if err != nil {
		return ItemInfo{}, err
	}
	if len(all) == 0 {
		return ItemInfo{}, fmt.Errorf("shop %s in run %d: %w", domain, runID, ErrNotFound)
	}
	return all[0], nil
}

func (s *Store) items(ctx context.Context, statement string, args ...any) ([]ItemInfo, error) {
	return collect(ctx, s.pool, "read items", pgx.RowToStructByPos[ItemInfo], statement, args...)
}

// ClassCount is how many items are in a state because of a class.
type ClassCount struct {
	State rotation.ItemState `json:"state"`
	Class rotation.Class     `json:"class"`
	Count int                `json:"count"`
}

// ClassCounts counts the exceptions of a run.
func (s *Store) ClassCounts(ctx context.Context, runID int64) ([]ClassCount, error) {
	return collect(ctx, s.pool, "count outcomes", pgx.RowToStructByPos[ClassCount], countClass, runID)
}

// Retry makes parked and waiting items due now, or when the pause is over that the
// platform asked for: of one class or of one shop, or all when both are empty. It
// returns how many.
func (t *Tx) Retry(ctx context.Context, actor string, runID int64, class rotation.Class, domain string) (int64, error) {
	tag, err := t.tx.Exec(ctx, retryItems, runID, class, domain)
	if err != nil {
		return 0, fmt.Errorf("retry items: %w", err)
	}
	return tag.RowsAffected(), t.Log(ctx, actor, "items.retried", runID, map[string]any{
		"class": class, "domain": domain, "items": tag.RowsAffected(),
	})
}

// IgnoreCooldown makes a waiting shop due now although the platform asked for a
// pause; whichever worker claims it does not wait either. It reports false when
// the shop does not wait.
func (t *Tx) IgnoreCooldown(ctx context.Context, actor string, runID int64, domain string) (bool, error) {
	tag, err := t.tx.Exec(ctx, ignoreCooldown, runID, domain)
	if err != nil {
		return false, fmt.Errorf("ignore the cooldown of %s: %w", domain, err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	return true, t.Log(ctx, actor, "item.cooldown_ignored", runID, map[string]any{"domain": domain})
}

// Waive accepts one shop by name, with a reason. A new token that was minted for
// it but could not be proven becomes its current one: the old one dies at the
// revoke in any case.
func (t *Tx) Waive(ctx context.Context, actor string, runID int64, domain, reason string) error {
	if err := t.adopt(ctx, waiveFirst, runID, domain); err != nil {
		return err
	}
	tag, err := t.tx.Exec(ctx, waiveItem, runID, domain, reason)
	if err != nil {
		return fmt.Errorf("waive %s: %w", domain, err)
	}
	delivery, err := t.waiveDelivery(ctx, runID, domain)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 && !delivery {
		return fmt.Errorf("waive %s: it is not parked, waiting or broken in this run, nor does the run wait for its delivery: %w", domain, ErrConflict)
	}
	return t.Log(ctx, actor, "item.waived", runID, map[string]any{"domain": domain, "reason": reason})
}
