package main

import (
	"context"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/shopfile"
)

// demoNewVersion is the simulator's number of the new secret.
const demoNewVersion = 2

// demoProblems is how many problems an audit names.
const demoProblems = 20

// demoResult is what a demo came to. Its JSON is a contract.
type demoResult struct {
	Shops int `json:"shops"`
	// Live is how many of them the simulator says have the app and are open.
	Live    int `json:"live"`
	Proven  int `json:"proven"`
	Skipped int `json:"skipped"`
	Parked  int `json:"parked"`
	Waived  int `json:"waived"`
	// By the simulator's books: of the live shops, how many former tokens are
	// dead and how many stored tokens are of the new secret and alive; of all
	// shops, how many former tokens still live.
	OldTokensDead  int `json:"old_tokens_dead"`
	OldTokensAlive int `json:"old_tokens_alive"`
	NewTokensAlive int `json:"new_tokens_alive"`

	Seconds         float64 `json:"seconds"`
	ExchangeSeconds float64 `json:"exchange_seconds"`
	Seed            uint64  `json:"seed"`
	Hostile         bool    `json:"hostile"`
	// AnswersLost counts shops for which a token was minted more than once,
	// because the answer with the first was lost.
	AnswersLost int                        `json:"answers_lost"`
	Faults      map[haravansim.Fault]int64 `json:"faults"`
	Misuse      []string                   `json:"misuse"`

	runReport      runReport
	Exceptions     []exception `json:"exceptions"`
	Slowest        []demoSlow  `json:"slowest"`
	JournalEntries int64       `json:"journal_entries"`
	JournalHead    string      `json:"journal_head"`
	Problems       []string    `json:"problems"`
	OK             bool        `json:"ok"`

	calls haravansim.Totals
	fleet int // shops that the platform has
}

type demoSlow struct {
	Domain    string `json:"domain"`
	LatencyMS int    `json:"latency_ms"`
}

// audit compares what is stored with the simulator's own books.
func (d *demo) audit(ctx context.Context) (demoResult, error) {
	r := demoResult{
		Seed: d.flags.seed, Hostile: len(d.sim.Faults().Rates) > 0, ExchangeSeconds: hundredths(d.provenAt.Sub(d.armedAt)),
		Misuse: append([]string{}, d.sim.Misuse()...), Slowest: []demoSlow{}, Problems: []string{}, calls: d.sim.Counts(),
	}
	r.Faults = r.calls.Faults
	for _, c := range d.sim.EachCount {
		if c.Minted > 1 {
			r.AnswersLost++
		}
	}
	if err := d.compareTokens(ctx, &r); err != nil {
		return r, err
	}
	var err error
	if r.runReport, err = d.on.report(ctx); err != nil {
		return r, err
	}
	items := r.runReport.Items
	r.Proven, r.Skipped, r.Parked, r.Waived = items.Proven, items.Skipped, items.Parked, items.Waived
	r.Exceptions = r.runReport.Exceptions
	for _, s := range r.runReport.Slowest {
		r.Slowest = append(r.Slowest, demoSlow{s.Domain, s.LatencyMS})
	}
	r.JournalEntries, r.JournalHead = r.runReport.Journal.Entries, r.runReport.Journal.Head
	r.judge(d.flags.shops)
	return r, nil
}

// compareTokens looks at every shop's former and stored token.
func (d *demo) compareTokens(ctx context.Context, r *demoResult) error {
	states := make(map[string]haravansim.State, d.flags.shops)
	for s := range d.sim.Shops {
		states[s.Domain] = s.State
	}
	return d.on.store.ExportShops(ctx, d.on.app.ID, func(row shopfile.Row) error {
		r.Shops++
		oldAlive := d.sim.TokenAlive(row.Domain, d.former[row.Domain])
		if oldAlive {
			r.OldTokensAlive++
			r.problemf("%s: its former token still lives", row.Domain)
		}
		if states[row.Domain] != haravansim.StateInstalled {
			return nil
		}
		r.Live++
		if !oldAlive {
			r.OldTokensDead++
		}
		token := row.AccessToken.Reveal()
		switch version := d.sim.TokenVersion(row.Domain, token); {
		case version != demoNewVersion:
			r.problemf("%s: its stored token is of secret version %d", row.Domain, version)
		case !d.sim.TokenAlive(row.Domain, token):
			r.problemf("%s: its new token is dead", row.Domain)
		default:
			r.NewTokensAlive++
		}
		return nil
	})
}

// judge adds what is wrong with the whole.
func (r *demoResult) judge(shops int) {
	r.fleet = shops
	if r.Shops != shops {
		r.problemf("%s stored, the platform has %d", counted(r.Shops, "shop", "is", "are"), shops)
	}
	if r.Proven != r.Live {
		r.problemf("%s proven, the platform has %d live", counted(r.Proven, "shop", "is", "are"), r.Live)
	}
	if n := r.calls.Misuse; n > 0 {
		r.problemf("the simulator saw %s that a correct client never makes", plural(n, "call"))
	}
	if n := r.calls.MintedUnderOld; n > 0 {
		r.problemf("%s minted under the old secret", plural(n, "token"))
	}
	if !r.runReport.Journal.OK {
		r.problemf("the journal is not whole: %s", r.runReport.Journal.Problem)
	}
	r.OK = len(r.Problems) == 0
}

// problemf notes a problem; only the first few are kept.
func (r *demoResult) problemf(format string, args ...any) {
	if len(r.Problems) < demoProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// verdict is the exit code.
func (r *demoResult) verdict() error {
	switch {
	case r.OK:
		return nil
	case r.onlyWaived():
		return exitWith(exitExceptions, nil, "")
	}
	return exitWith(exitFailed, nil, "")
}

// onlyWaived tells that nothing is wrong but with shops that were waived.
func (r *demoResult) onlyWaived() bool {
	return r.Waived > 0 && r.Shops == r.fleet && r.Proven+r.Waived >= r.Live && r.NewTokensAlive == r.Proven && r.OldTokensAlive == 0 &&
		r.calls.Misuse == 0 && r.calls.MintedUnderOld == 0 && r.runReport.Journal.OK
}

// hundredths is a duration in seconds, rounded to what it is worth.
func hundredths(d time.Duration) float64 { return d.Round(10 * time.Millisecond).Seconds() }
