package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	// A shop that has nothing to exchange enters the run as skipped, with the
	// reason, so that every stored shop has a row that says what became of it.
	// One whose token is of the new secret already is still to be proven.
	walkPage = sql(`with page as (
			select id, excluded_reason, access_token is null as tokenless
			from rotator.shops where app_id = $2 and id > $3 order by id limit $5
		), placed as (
			select *, $4::bigint + row_number() over (order by id) as position from page
			where $6 = 0 or id not in (select shop_id from rotator.items where run_id = $1 and position <= $6)
		), added as (
			insert into rotator.items (run_id, position, shop_id, state, detail)
			select $1, position, id,
				case when excluded_reason is not null or tokenless then 'skipped' else 'pending' end,
				case when excluded_reason is not null then 'excluded: ' || excluded_reason
					when tokenless then 'no access token is stored' end
			from placed on conflict (run_id, shop_id) do nothing
		)
		select coalesce(max(id), 0), count(*), (select count(*) from placed) from page`)
	moveWalk = sql(`update rotator.runs set walk_cursor = $3, last_position = last_position + $4
		where id = $1 and walk_cursor = $2 and walk_done_at is null`)
	endWalk     = sql(`update rotator.runs set walk_done_at = now() where id = $1 and walk_done_at is null`)
	insertWave  = sql(`insert into rotator.waves (run_id, number, name, first_position, last_position) values ($1, $2, $3, $4, $5)`)
	insertBatch = sql(`insert into rotator.batches (run_id, number, wave, first_position, last_position)
		select $1, $2::int + row_number() over (order by f), $3, f, least(f + $6::bigint - 1, $5::bigint)
		from generate_series($4::bigint, $5::bigint, $6::bigint) f`)
	analyzeItems = sql(`analyze rotator.items, rotator.shops`)
	nextNumbers  = sql(`select coalesce((select max(number) from rotator.waves where run_id = $1), 0),
		coalesce((select max(number) from rotator.batches where run_id = $1), 0)`)
)

// WalkPage takes the next page of shops into the run, in the order of their
// ids or, if the run goes by it, of their priorities, and moves the cursor in the
// same transaction. done is true when no shop was left. Walkers of one run wait
// for each other.
func (s *Store) WalkPage(ctx context.Context, runID int64, size int) (done bool, err error) {
	err = s.InTx(ctx, func(tx *Tx) error {
		// Two walkers with the same cursor would give the same positions twice.
		if _, err := tx.tx.Exec(ctx, lockOpenRun, runID); err != nil {
			return fmt.Errorf("wait for other walkers: %w", err)
		}
		r, err := tx.run(ctx, runID)
		if err != nil {
			return err
		}
		if r.WalkDoneAt != nil || !r.Open() {
			done = true
			return nil
		}
		var last int64
		var n, placed int
		if r.Settings.ByPriority {
			done, err = tx.walkByPriority(ctx, r, size)
			return err
		}
		statement, args := r.walkStatement(size)
		if err := tx.tx.QueryRow(ctx, statement, args...).Scan(&last, &n, &placed); err != nil {
			return fmt.Errorf("take a page of shops into run %d: %w", runID, err)
		}
		if n > 0 {
			return tx.exactlyOne(ctx, "move the walk", moveWalk, r.ID, r.WalkCursor, last, placed)
		}
		done = true
		return tx.finishWalk(ctx, r)
	})
	return done, err
}

// finishWalk cuts the walked fleet into waves and batches.
func (t *Tx) finishWalk(ctx context.Context, r Run) error {
	if err := t.exactlyOne(ctx, "end the walk", endWalk, r.ID); err != nil {
		return err
	}
	for _, w := range rotation.PlanWaves(1, int(r.LastPosition), r.Settings.Waves) {
		if err := t.addWave(ctx, r, w); err != nil {
			return err
		}
	}
	// Without statistics the planner takes the items for few and reads them all
	// for each group of outcomes, until autovacuum comes by.
	if _, err := t.tx.Exec(ctx, analyzeItems); err != nil {
		return fmt.Errorf("analyze the items: %w", err)
	}
	return t.Log(ctx, ActorEngine, "run.walked", r.ID, map[string]any{"shops": r.LastPosition})
}

func (t *Tx) addWave(ctx context.Context, r Run, w rotation.Wave) error {
	if _, err := t.tx.Exec(ctx, insertWave, r.ID, w.Number, w.Name, w.First, w.Last); err != nil {
		return fmt.Errorf("add wave %s: %w", w.Name, err)
	}
	var waves, batches int
	if err := t.tx.QueryRow(ctx, nextNumbers, r.ID).Scan(&waves, &batches); err != nil {
		return fmt.Errorf("number the batches: %w", err)
	}
	if _, err := t.tx.Exec(ctx, insertBatch, r.ID, batches, w.Number, w.First, w.Last, r.Settings.BatchSize); err != nil {
		return fmt.Errorf("add batches of wave %s: %w", w.Name, err)
	}
	return nil
}
