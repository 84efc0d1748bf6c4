package rotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MayBudget reports whether a budget can be set for failures of class c. A dead
// shop never counts, a shop that lacks a scope is alive, and a 429 is pace.
func (c Class) MayBudget() bool {
	return c.Valid() && !c.ShopIsGone() && c != ClassScope && c != ClassRateLimited
}

// Example is one shop that failed, for people to look at.
type Example struct {
	Domain string `json:"domain"`
	Class  Class  `json:"class"`
}

// WithinBudget reports whether the wave's failures leave room to go on. One
// failure never breaks a budget, whatever the wave's size.
func (w WaveStatus) WithinBudget(budget float64) bool { return w.within(w.Failed, budget) }

func (w WaveStatus) within(failed int, budget float64) bool {
	return failed <= 1 || float64(failed) <= budget*float64(w.Counts.Total)
}

// OverBudget says in words which budgets of p the wave failed, nil if none.
func (w WaveStatus) OverBudget(p WavePolicy) []string {
	var over []string
	if !w.WithinBudget(p.Budget) {
		over = append(over, fmt.Sprintf("%d of %d shops failed for reasons that are not theirs, %.4g %% are allowed",
			w.Failed, w.Counts.Total, p.Budget*100))
	}
	for _, c := range slices.Sorted(maps.Keys(p.Budgets)) {
		if n := w.FailedBy[c]; !w.within(n, p.Budgets[c]) {
			over = append(over, fmt.Sprintf("%d of %d shops failed as %s, %.4g %% are allowed", n, w.Counts.Total, c, p.Budgets[c]*100))
		}
	}
	return over
}

// failures lists the classes by number, and examples.
func (w WaveStatus) failures() string {
	classes := slices.SortedFunc(maps.Keys(w.FailedBy), func(a, b Class) int {
		if d := w.FailedBy[b] - w.FailedBy[a]; d != 0 {
			return d
		}
		return strings.Compare(string(a), string(b))
	})
	var parts []string
	for _, c := range classes {
		words := c.Words()
		if c == "" {
			words = "a new token that is not proven"
		}
		parts = append(parts, fmt.Sprintf("%d %s", w.FailedBy[c], words))
	}
	text := strings.Join(parts, ", ")
	for i, e := range w.Examples {
		if i == 0 {
			text += "; for example "
		} else {
			text += ", "
		}
		text += e.Domain
	}
	return text
}
