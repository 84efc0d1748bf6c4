package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	// Ids are handed out before commit, so a shop may appear behind the walk's
	// cursor: only asking for shops without an item finds them all.
	// What a sweep would find, in one pass over the fleet: late installs, late
	// exchanges and shops whose token needs the old secret.
	leftToSweep = sql(`select count(*) filter (where i.shop_id is null), count(*) filter (where ` + exchangedLate + `),
			count(*) filter (where ` + needsOldSecret + `)
		from rotator.shops s left join rotator.items i on i.run_id = $1 and i.shop_id = s.id where s.app_id = $3`)
	sweepLate = sql(`with late as (
			select s.id, s.excluded_reason, s.access_token is null as tokenless,
				$3::bigint + row_number() over (order by s.id) as position
			from rotator.shops s where s.app_id = $2 and not exists
				(select from rotator.items i where i.run_id = $1 and i.shop_id = s.id)
		)
		insert into rotator.items (run_id, position, shop_id, state, detail)
		select $1, position, id,
			case when excluded_reason is not null or tokenless then 'skipped' else 'pending' end,
			case when excluded_reason is not null then 'excluded: ' || excluded_reason
				when tokenless then 'no access token is stored' end
		from late`)
	moveLast = sql(`update rotator.runs set last_position = $3 where id = $1 and last_position = $2`)
	// A shop whose token was replaced since its proof by one of another secret,
	// or by a superseded worker's late exchange, is due again. So is one that
	// was skipped because it had nothing to exchange (skipped without a class)
	// and now has, whose token is not the one that was found dead, or who was found
	// gone once only.
	reopenItems = sql(`update rotator.items i set state = 'unknown', next_attempt_at = now(), class = null,
			detail = 'settled before, but its token is another now or may be dead'
		from rotator.shops s where i.run_id = $1 and s.id = i.shop_id
			and ((` + exchangedLate + `) or (` + needsOldSecret + `))`)
)

const exchangedLate = `i.state = 'proven' and i.late_exchange_at is not null`

const needsOldSecret = `s.secret_id is distinct from $2 and s.excluded_at is null and s.access_token is not null
	and (i.state = 'proven' or (i.state = 'skipped' and (i.class is null or i.generation is distinct from s.token_generation or ` + goneOnce + `)))`

// A gateway that answers 404 for a moment looks like shops that are gone, whose only
// tokens the revoke would kill: once all others are settled, each is asked again.
const goneOnce = `i.class in ('uninstalled', 'frozen', 'not_found') and i.tries < 2`

// Sweep takes shops that came since the walk into the run, as a wave of their
// own, and makes shops due again whose token was replaced after its proof.
func (t *Tx) Sweep(ctx context.Context, r Run) error {
	// Another sweep may have given out the positions after r's last.
	if err := t.lockOpenRun(ctx, r.ID); err != nil {
		return err
	}
	r, err := t.run(ctx, r.ID)
	if err != nil {
		return err
	}
	if r.isMigration() {
		return t.sweepLegacy(ctx, r)
	}
	tag, err := t.tx.Exec(ctx, sweepLate, r.ID, r.AppID, r.LastPosition)
	if err != nil {
		return fmt.Errorf("sweep late installs: %w", err)
	}
	late := tag.RowsAffected()
	if err := t.addLateWave(ctx, r, late); err != nil {
		return err
	}
	tag, err = t.tx.Exec(ctx, reopenItems, r.ID, r.NewSecretID)
	if err != nil {
		return fmt.Errorf("make replaced tokens due: %w", err)
	}
	return t.Log(ctx, ActorEngine, "run.swept", r.ID, map[string]any{"late": late, "again": tag.RowsAffected()})
}

// addLateWave makes a wave of the items that were placed after r's last.
func (t *Tx) addLateWave(ctx context.Context, r Run, late int64) error {
	if late == 0 {
		return nil
	}
	var waves, batches int
	if err := t.tx.QueryRow(ctx, nextNumbers, r.ID).Scan(&waves, &batches); err != nil {
		return fmt.Errorf("number the late wave: %w", err)
	}
	w := rotation.Wave{Number: waves + 1, Name: "late", Range: rotation.Range{First: r.LastPosition + 1, Last: r.LastPosition + late}}
	if err := t.addWave(ctx, r, w); err != nil {
		return err
	}
	return t.exactlyOne(ctx, "move the last position", moveLast, r.ID, r.LastPosition, w.Last)
}
