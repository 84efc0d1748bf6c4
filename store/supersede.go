package store

import "context"

// WriteOutcomes commits a group of outcomes and tells what became of each, in
// order. An error means that none was written.
//
// Of several for one item the newest attempt's is written: a worker that was
// silent may have taken its own batch over before it could write what it had.
func (s *Store) WriteOutcomes(ctx context.Context, outcomes []Outcome) ([]Verdict, error) {
	superseded := supersededIn(outcomes)
	if superseded == nil {
		return s.writeDifferent(ctx, outcomes)
	}
	var newest []Outcome
	var older []*Outcome
	for i, o := range outcomes {
		if superseded[i] {
			older = append(older, &outcomes[i])
		} else {
			newest = append(newest, o)
		}
	}
	// First, and in vain if the others cannot be written: it may be said twice.
	err := againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error { return tx.markLate(ctx, older, nil, nil) })
	})
	if err != nil {
		return nil, err
	}
	verdicts, err := s.writeDifferent(ctx, newest)
	if err != nil {
		return nil, err
	}
	all := make([]Verdict, len(outcomes))
	for i := range outcomes {
		if superseded[i] {
			all[i] = Fenced
		} else {
			all[i], verdicts = verdicts[0], verdicts[1:]
		}
	}
	return all, nil
}

// supersededIn are the outcomes, by their place in the group, that another of the
// same item has a newer attempt of; nil for none, as in nearly every group.
func supersededIn(outcomes []Outcome) (superseded map[int]bool) {
	newest := make(map[key]int, len(outcomes))
	for i := range outcomes {
		k := outcomes[i].Claim.key()
		j, seen := newest[k]
		if !seen {
			newest[k] = i
			continue
		}
		if superseded == nil {
			superseded = map[int]bool{}
		}
		if outcomes[j].Claim.Attempt > outcomes[i].Claim.Attempt {
			i, j = j, i
		}
		newest[k] = i
		superseded[j] = true
	}
	return superseded
}
