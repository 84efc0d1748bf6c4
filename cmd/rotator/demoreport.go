package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// report prints the result.
func (d *demo) report(r demoResult) error {
	if d.asJSON {
		return d.printJSON(r)
	}
	items := statusView{runStatus{Items: r.runReport.Items}}
	outcome := items.proven()
	if others := items.rest(); others != "" {
		outcome += ", " + others
	}
	verdict := "every live shop has a proven token of the new secret, every old token is dead"
	if !r.OK {
		verdict = "NOT as it should be, see below"
	}
	err := d.printFacts(
		fact{"result", verdict},
		fact{"shops", outcome},
		fact{"old tokens", fmt.Sprintf("%d of %s dead, %d alive", r.OldTokensDead, plural(r.Live, "live shop"), r.OldTokensAlive)},
		fact{"new tokens", fmt.Sprintf("%d of %d live shops alive", r.NewTokensAlive, r.Live)},
		fact{"calls", fmt.Sprintf("%d exchanges, %d identity reads; %s", r.calls.Exchanges, r.calls.IdentityCalls, plural(r.calls.Misuse, "misuse"))},
		fact{"faults", r.faults()},
		fact{"answers lost", r.lost()},
		fact{"journal", fmt.Sprintf("%d entries, head %s", r.JournalEntries, r.JournalHead)},
		fact{"took", fmt.Sprintf("%.1f s, %.1f s of it the exchange (%.0f shops/s)", r.Seconds, r.ExchangeSeconds, float64(r.Proven)/r.ExchangeSeconds)},
	)
	if err != nil {
		return err
	}
	if err := d.printExceptions(r.runReport); err != nil {
		return err
	}
	if err := d.printSlowest(r.runReport); err != nil {
		return err
	}
	for i, p := range append(slices.Clone(r.Problems), r.Misuse...) {
		if i == 0 {
			if err := d.printf("\nProblems\n"); err != nil {
				return err
			}
		}
		if err := d.printf("  %s\n", printable(p)); err != nil {
			return err
		}
	}
	return nil
}

func (r *demoResult) faults() string {
	kinds := slices.SortedFunc(maps.Keys(r.Faults), func(a, b haravansim.Fault) int {
		return cmp.Or(cmp.Compare(r.Faults[b], r.Faults[a]), cmp.Compare(a, b))
	})
	total := int64(0)
	words := make([]string, len(kinds))
	for i, k := range kinds {
		total += r.Faults[k]
		words[i] = fmt.Sprintf("%s %d", k, r.Faults[k])
	}
	if total == 0 {
		return "none"
	}
	return fmt.Sprintf("%d answers were bad: %s", total, strings.Join(words, ", "))
}

func (r *demoResult) lost() string {
	if r.AnswersLost == 0 {
		return ""
	}
	return fmt.Sprintf("%s minted a token whose answer never came; each was exchanged again", plural(r.AnswersLost, "shop"))
}
