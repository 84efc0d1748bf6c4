package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// boundMet is the error of a swap that met shops whose row in an app's own table
// must be written with it.
type boundMet struct{ shops int }

// Error implements error.
func (m *boundMet) Error() string {
	return rotation.Counted(m.shops, "shop", "is bound to a row", "are bound to rows") + " of another table"
}

// writeDifferent commits a group of outcomes, of different items, and tells what
// became of each, in order. An error means that none was written.
//
// Proofs of shops that are bound to an app's own table are committed after the
// others, in a transaction with the write of their row, so that nothing that
// befalls that table keeps a new token from being persisted.
func (s *Store) writeDifferent(ctx context.Context, outcomes []Outcome) ([]Verdict, error) {
	bound, err := s.partBound(ctx, outcomes)
	if err != nil {
		return nil, err
	}
	rest := outcomes
	if len(bound) > 0 {
		rest = slices.DeleteFunc(slices.Clone(outcomes), func(o Outcome) bool { _, ok := bound[o.Claim.key()]; return ok })
	}
	var written []Verdict
	if len(rest) > 0 || len(bound) == 0 {
		written, err = s.writeOutcomes(ctx, rest)
		var met *boundMet
		if errors.As(err, &met) {
			s.bound.Store(true) // from now on they are looked for first
			return s.writeDifferent(ctx, outcomes)
		}
		if err != nil {
			return nil, err
		}
	}
	verdicts, err := s.writeBoundProofs(ctx, outcomes, bound)
	if err != nil && len(rest) == 0 {
		return nil, err
	}
	all := make([]Verdict, len(outcomes))
	for i, o := range outcomes {
		_, isBound := bound[o.Claim.key()]
		v, done := verdicts[o.Claim.key()]
		switch {
		case !isBound:
			all[i], written = written[0], written[1:]
		case done:
			all[i] = v
		default:
			// The database went away after the others were committed: the item
			// is exchanged, and whoever looks after its batch comes back to it.
			all[i] = RowAside
		}
	}
	return all, nil
}

// partBound finds the proofs of bound shops, and their apps.
func (s *Store) partBound(ctx context.Context, outcomes []Outcome) (map[key]int64, error) {
	if !s.bound.Load() {
		return nil, nil
	}
	var ids []int64
	for _, o := range outcomes {
		if o.swaps() {
			ids = append(ids, o.Claim.ShopID)
		}
	}
	if ids == nil {
		return nil, nil
	}
	shops, err := boundShops(ctx, s.pool, ids)
	if err != nil {
		return nil, err
	}
	bound := map[key]int64{}
	for _, o := range outcomes {
		if shop, ok := shops[o.Claim.ShopID]; ok && o.swaps() {
			bound[o.Claim.key()] = shop.appID
		}
	}
	return bound, nil
}

// swaps reports whether the outcome makes a new token the shop's.
func (o Outcome) swaps() bool { return o.State == rotation.ItemProven && !o.New.IsZero() }

func (s *Store) writeBoundProofs(ctx context.Context, outcomes []Outcome, bound map[key]int64) (map[key]Verdict, error) {
	byApp := map[int64][]Outcome{}
	for _, o := range outcomes {
		if app, ok := bound[o.Claim.key()]; ok {
			byApp[app] = append(byApp[app], o)
		}
	}
	verdicts := make(map[key]Verdict, len(bound))
	for app, group := range byApp {
		if err := s.writeBoundGroup(ctx, app, group, verdicts); err != nil {
			return verdicts, err
		}
	}
	return verdicts, nil
}

// writeBoundGroup writes proofs with their rows. What the table as a whole does
// not let in is due again later; a row that the table refuses is found by
// halving the group, so that it keeps no other out.
func (s *Store) writeBoundGroup(ctx context.Context, appID int64, group []Outcome, verdicts map[key]Verdict) error {
	err := s.proveBound(ctx, appID, group, verdicts)
	var fault *BoundFault
	ours := ""
	if !errors.As(err, &fault) {
		if ours = Unstorable(err); ours == "" {
			return err
		}
	}
	if (ours != "" || fault.Row) && len(group) > 1 {
		half := len(group) / 2
		if err := s.writeBoundGroup(ctx, appID, group[:half], verdicts); err != nil {
			return err
		}
		return s.writeBoundGroup(ctx, appID, group[half:], verdicts)
	}
	if ours != "" {
		return s.setAside(ctx, group[0], ours, verdicts)
	}
	aside := make([]Outcome, len(group))
	for i, o := range group {
		aside[i] = waiting(o, rotation.ClassOurs, fault.Error())
		if fault.Row && o.Claim.Tries >= rowTries {
			aside[i].State = rotation.ItemParked
		}
	}
	written, err := s.writeOutcomes(ctx, aside)
	if err != nil {
		return err
	}
	failed := TableFailed
	if fault.Row {
		failed = RowRefused
	}
	for i, o := range group {
		if verdicts[o.Claim.key()] = written[i]; written[i] == Written {
			verdicts[o.Claim.key()] = failed
		}
	}
	return nil
}

// setAside parks a shop whose proof rotator's own tables refuse.
func (s *Store) setAside(ctx context.Context, o Outcome, why string, verdicts map[key]Verdict) error {
	aside := o.SetAside(why)
	written, err := s.writeOutcomes(ctx, []Outcome{aside})
	switch {
	case err == nil && written[0] == Written:
		verdicts[o.Claim.key()] = SetAside
	case err == nil:
		verdicts[o.Claim.key()] = written[0]
	case Unstorable(err) != "":
		verdicts[o.Claim.key()] = Unwritable
	default:
		return err
	}
	return nil
}

// rowTries is how often a row that refuses its token is tried before a person
// must look.
const rowTries = 8

// waiting leaves the new token where it is, to be proven and swapped later.
func waiting(o Outcome, class rotation.Class, detail string) Outcome {
	delay := 2 * time.Second << min(max(o.Claim.Tries-1, 0), 4)
	return Outcome{Claim: o.Claim, State: rotation.ItemExchanged, Class: class, Detail: detail, Delay: delay, Latency: o.Latency}
}

// proveBound is one transaction: items, shops and rows of the bound table.
func (s *Store) proveBound(ctx context.Context, appID int64, group []Outcome, verdicts map[key]Verdict) error {
	var replaced map[key]bool
	for {
		var again map[key]bool
		var got map[key]Verdict
		err := againIfDeadlocked(func() error {
			again, got = nil, map[key]Verdict{}
			return s.InTx(ctx, func(tx *Tx) (err error) {
				tx.writesBound = true
				again, err = tx.proveBound(ctx, appID, group, replaced, got)
				if len(again) > 0 {
					return errRetryGroup
				}
				return err
			})
		})
		if again == nil {
			if err == nil {
				for k, v := range got {
					verdicts[k] = v
				}
			}
			return err
		}
		replaced = again
	}
}

func (t *Tx) proveBound(ctx context.Context, appID int64, group []Outcome, replaced map[key]bool, verdicts map[key]Verdict) (again map[key]bool, err error) {
	if err := t.waitShortly(ctx); err != nil {
		return nil, err
	}
	b, err := t.boundTable(ctx, appID)
	if err != nil && !errors.Is(err, ErrNotBound) { // unbound since: then there are no rows
		return nil, err
	}
	fates, err := t.fates(ctx, b, group, replaced)
	if err != nil {
		return nil, err
	}
	prove := slices.Concat(fates.write, fates.there, fates.gone)
	written := map[key]bool{}
	unswapped, err := t.writeProven(ctx, inOrder(prove), written)
	if err != nil {
		return nil, err
	}
	if len(unswapped) > 0 {
		for k := range replaced {
			unswapped[k] = true
		}
		return unswapped, nil
	}
	var writes []boundWrite
	for _, o := range fates.write {
		if written[o.Claim.key()] {
			writes = append(writes, boundWrite{fates.rows[o.Claim.ShopID], o.New})
		}
	}
	if err := t.writeBound(ctx, b, writes); err != nil {
		return nil, err
	}
	if err := t.leaveBound(ctx, fates, written); err != nil {
		return nil, err
	}
	if err := t.takeOver(ctx, fates); err != nil {
		return nil, err
	}
	due := map[key]bool{}
	if err := t.writeLost(ctx, inOrder(slices.Concat(fates.changed, fates.lost)), due); err != nil {
		return nil, err
	}
	asideWritten := map[key]bool{}
	if err := t.writeAside(ctx, inOrder(fates.aside), asideWritten); err != nil {
		return nil, err
	}
	for _, o := range group {
		k := o.Claim.key()
		switch {
		case due[k]:
			verdicts[k] = Replaced
		case asideWritten[k], written[k] && fates.isGone[k]:
			verdicts[k] = RowAside
		case written[k]:
			verdicts[k] = Written
		default:
			verdicts[k] = Fenced
		}
	}
	return nil, nil
}
