package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// overRuns compares with those of the runs $1 that are over. It asks once for a
// statement, not once for a row, and in the statement that stores a token: if the
// run is open by its view, whatever a later run asks for is newer than the token.
const overRuns = `any(array(select e.id from rotator.runs e where e.id = any($1::bigint[]) and (e.closed_at is not null or e.cancelled_at is not null)))`

// The item is that of the app's open run, whose token the late one may have
// killed. It is marked in any state: a pending one may have been sent with its
// batch before the late token was made, which nobody can tell. A shop that is
// claimed by itself later, or is not in the run yet, is asked after it. A run that
// is past its revoke exchanges no more, but its check looks at the shop, once more
// if it has.
var markLate = sql(`update rotator.items i set late_exchange_at = now(), checked_at = null, old_dead = null, new_alive = null
	from unnest($1::bigint[], $2::bigint[]) as x (run_id, shop_id), rotator.runs r, rotator.runs o
	where r.id = x.run_id and r.kind = 'rotation' and o.app_id = r.app_id and o.kind = 'rotation' and o.closed_at is null and o.cancelled_at is null
		and i.run_id = o.id and i.shop_id = x.shop_id`)

// mayHaveMinted reports whether the platform may have made a token for the
// attempt. What was put back unsent has no class.
func (o *Outcome) mayHaveMinted() bool {
	return o.State == rotation.ItemExchanged && !o.New.IsZero() || o.Acted || o.State == rotation.ItemUnknown && o.Class != ""
}

// markLate notes that the platform made, or may have made, a token for a
// superseded attempt (not written), or for one of a run that is over, which a
// cancel does not wait for: the token that is the shop's must be proven again.
func (t *Tx) markLate(ctx context.Context, group []*Outcome, written, over map[key]bool) error {
	var runs, shops []int64
	for _, o := range group {
		if k := o.Claim.key(); (!written[k] || over[k]) && o.mayHaveMinted() {
			runs, shops = append(runs, o.Claim.RunID), append(shops, o.Claim.ShopID)
		}
	}
	if len(runs) == 0 {
		return nil
	}
	if _, err := t.tx.Exec(ctx, markLate, runs, shops); err != nil {
		return fmt.Errorf("mark late exchanges: %w", err)
	}
	return nil
}

// collectWritten is collectKeys of a statement that says besides whether the run
// is over (overRuns).
func (t *Tx) collectWritten(ctx context.Context, written map[key]bool, statement string, args ...any) (over map[key]bool, err error) {
	rows, err := t.tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	over = map[key]bool{}
	var k key
	var isOver bool
	_, err = pgx.ForEachRow(rows, []any{&k.runID, &k.position, &isOver}, func() error {
		written[k] = true
		if isOver {
			over[k] = true
		}
		return nil
	})
	return over, err
}
