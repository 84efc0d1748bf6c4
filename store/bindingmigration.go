package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// What deriving does to an app's own table: the derived token goes into the OAuth
// column, where the row has no token, in the transaction that stores it here.

// noOAuthColumn is the fault of a binding that derived tokens cannot go into.
func (b Binding) noOAuthColumn() error {
	return &BoundFault{Table: b.Name(), Why: "is bound without a column for OAuth tokens: bind it again with `rotator shop bind … --oauth-token oauth_token --create-column`"}
}

// derivedRows are the rows of the app's own table that derived tokens go into,
// locked. It is nil when the app has none.
type derivedRows struct {
	table *boundTable
	shops map[int64]boundShop
	rows  map[string]boundRow
	// locked has the keys of rows that another transaction holds.
	locked map[string]bool
	// due are the tokens that are not in their rows yet, by shop.
	due map[int64]boundWrite
	// taken are those whose row has another token, by shop; left have no row.
	taken, left map[int64]Derivation
	print       func(boundRow) string
}

// lockDerived locks the rows of the shops that tokens were derived for.
func (t *Tx) lockDerived(ctx context.Context, runID int64, group []Derivation) (*derivedRows, error) {
	if len(group) == 0 {
		return nil, nil
	}
	b, err := runBinding(ctx, t.tx, runID)
	if errors.Is(err, ErrNotBound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if b.OAuth == "" {
		return nil, b.noOAuthColumn()
	}
	r := &derivedRows{due: map[int64]boundWrite{}, taken: map[int64]Derivation{}, left: map[int64]Derivation{}}
	r.print = func(row boundRow) string { return t.keys.Fingerprint(row.value) }
	ids := make([]int64, len(group))
	for i, d := range group {
		ids[i] = d.Of.ShopID
	}
	if r.shops, err = boundShops(ctx, t.tx, ids); err != nil {
		return nil, err
	}
	if r.table, err = t.lookUp(ctx, b); err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(r.shops))
	for _, shop := range r.shops {
		keys = append(keys, shop.key)
	}
	slices.Sort(keys)
	if err := t.waitShortly(ctx); err != nil {
		return nil, err
	}
	r.rows, r.locked, err = t.lockBound(ctx, r.table, keys)
	return r, err
}

// part tells the shops whose token can be stored from those whose row does not
// let it, which it says how to set aside.
func (r *derivedRows) part(group []Derivation) (fit, unfit []Derivation) {
	if r == nil {
		return group, nil
	}
	for _, d := range group {
		shop, bound := r.shops[d.Of.ShopID]
		row, there := r.rows[shop.key]
		aside := Derivation{Of: d.Of, State: rotation.ItemSkipped}
		switch {
		case !bound:
			fit = append(fit, d)
			continue
		case r.locked[shop.key]:
			aside.State, aside.Detail, aside.Delay = rotation.ItemRetrying, rowLocked+r.table.Name(), rowDelay(d.Of.Tries)
		case !there:
			aside.Detail = "excluded: " + rowGone + r.table.Name()
			r.left[d.Of.ShopID] = d
		case row.broken != "":
			aside.State, aside.Class, aside.Detail = rotation.ItemParked, rotation.ClassOurs, row.broken
		case row.value.Equal(d.Token):
			fit = append(fit, d)
			continue
		case row.value.IsZero(), row.column == r.table.OAuth && shop.derived != "" && r.print(row) == shop.derived:
			// Empty, or what this migration derived from another legacy token.
			row.column = r.table.OAuth
			r.due[d.Of.ShopID] = boundWrite{row, d.Token}
			fit = append(fit, d)
			continue
		default:
			aside.Detail = "has an OAuth token already, in its row of the bound table " + r.table.Name()
			r.taken[d.Of.ShopID] = d
		}
		unfit = append(unfit, aside)
	}
	return fit, unfit
}

// writeDerivedRows puts the tokens into the rows of shops whose token is stored.
func (t *Tx) writeDerivedRows(ctx context.Context, r *derivedRows, shops []int64) error {
	if r == nil {
		return nil
	}
	var writes []boundWrite
	for _, id := range shops {
		if w, ok := r.due[id]; ok {
			writes = append(writes, w)
		}
	}
	return t.writeBound(ctx, r.table, writes)
}

// settleUnfit takes over the token of a row that has one, and excludes a shop
// whose row left, of those whose item was set aside: otherwise they would be due
// again for ever.
func (t *Tx) settleUnfit(ctx context.Context, r *derivedRows, unfit []Derivation, set map[int64]bool) error {
	if len(unfit) == 0 {
		return nil
	}
	over := &fates{rows: map[int64]boundRow{}}
	var ids []int64
	var reasons []string
	for _, u := range unfit {
		id := u.Of.ShopID
		if !set[id] {
			continue
		}
		if _, ok := r.taken[id]; ok {
			over.changed = append(over.changed, Outcome{Claim: Claim{ShopID: id, Domain: u.Of.Domain, Generation: u.Of.Generation}})
			over.rows[id] = r.rows[r.shops[id].key]
		}
		if _, ok := r.left[id]; ok {
			ids, reasons = append(ids, id), append(reasons, rowGone+r.table.Name())
		}
	}
	if err := t.takeOver(ctx, over); err != nil {
		return err
	}
	if ids == nil {
		return nil
	}
	if _, err := t.tx.Exec(ctx, leaveRows, ids, reasons); err != nil {
		return fmt.Errorf("exclude shops whose row is gone: %w", err)
	}
	return nil
}

// byRow writes a group and, when a row of the app's own table refuses its token or
// rotator's own tables what became of a shop, finds that one by halving the group,
// so that it keeps no other out.
func byRow(group []Derivation, write func([]Derivation) error) error {
	err := write(group)
	var fault *BoundFault
	ours := Unstorable(err)
	if ours == "" && (!errors.As(err, &fault) || !fault.Row) {
		return err
	}
	if len(group) > 1 {
		half := len(group) / 2
		if err := byRow(group[:half], write); err != nil {
			return err
		}
		return byRow(group[half:], write)
	}
	if ours != "" {
		return write([]Derivation{{Of: group[0].Of, State: rotation.ItemParked, Class: rotation.ClassOurs, Detail: saysUnstorable + ours + ")"}})
	}
	d := Derivation{Of: group[0].Of, State: rotation.ItemRetrying, Class: rotation.ClassOurs, Detail: fault.Error(), Delay: rowDelay(group[0].Of.Tries)}
	if d.Of.Tries >= rowTries {
		d.State = rotation.ItemParked
	}
	return write([]Derivation{d})
}

// rowDelay is how long a row is left alone that could not be written, after so
// many tries.
func rowDelay(tries int) time.Duration { return 2 * time.Second << min(max(tries-1, 0), 4) }
