package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// runReport is the account of a run: what became of its shops, on what evidence
// the old secret was given up, and who decided what. Its JSON is a contract.
type runReport struct {
	Run       int64           `json:"run"`
	Kind      rotation.Kind   `json:"kind"`
	App       string          `json:"app"`
	State     runState        `json:"state"`
	Phase     rotation.Phase  `json:"phase"`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   *time.Time      `json:"ended_at"`
	Items     rotation.Counts `json:"items"`
	// Exceptions is what keeps the run from being whole: exit code 4.
	Exceptions []exception `json:"exceptions"`
	Broken     []brokenKey `json:"broken"`
	// BrokenTotal counts all of them; Broken lists the first.
	BrokenTotal int `json:"broken_total"`
	// OldAlive are shops whose old token still answers, whatever the new one does;
	// the revoke has not bitten, and that breaks nobody.
	OldAlive      []brokenKey `json:"old_alive"`
	OldAliveTotal int         `json:"old_alive_total"`
	// WrongRevoke: not the old secret was revoked, but the new one.
	WrongRevoke bool                `json:"wrong_secret_revoked,omitempty"`
	Slowest     []store.ItemInfo    `json:"slowest"`
	Checked     rotation.Revocation `json:"checked"`
	Certificate json.RawMessage     `json:"certificate"`
	Journal     journalProof        `json:"journal"`
	Decisions   []store.Entry       `json:"decisions"`
	// Migration is a token migration's.
	Migration *migrationReport `json:"migration,omitempty"`
}

// exception counts shops with the same fate, with a few of them as examples.
type exception struct {
	State    rotation.ItemState `json:"state"`
	Class    rotation.Class     `json:"class,omitempty"`
	Words    string             `json:"words"`
	Shops    int                `json:"shops"`
	Examples []example          `json:"examples,omitempty"`
}

type example struct {
	Domain string `json:"domain"`
	Detail string `json:"detail,omitempty"`
}

// brokenKey is a shop that the check after the revoke found wanting.
type brokenKey struct {
	Domain   string `json:"domain"`
	OldDead  bool   `json:"old_token_dead"`
	NewAlive bool   `json:"new_token_alive"`
	// InstallURL is the re-install link, if the new token is dead.
	InstallURL string `json:"install_url,omitempty"`
}

// journalProof is what became of verifying the whole chain.
type journalProof struct {
	Entries int64  `json:"entries"`
	Head    string `json:"head"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// How much a report lists.
const (
	reportSlowest  = 5
	reportExamples = 3
	reportBroken   = 100
	reportOldAlive = 10 // as text
)

// unsettled is what a person must still look at.
func (r runReport) unsettled() bool {
	return r.Items.Parked > 0 || r.BrokenTotal > 0 || r.OldAliveTotal > 0
}

func (o onRun) report(ctx context.Context) (runReport, error) {
	st, err := o.where(ctx)
	if err != nil {
		return runReport{}, err
	}
	r := runReport{
		Run: st.Run, Kind: st.Kind, App: st.App, State: st.State, Phase: st.Phase, StartedAt: st.StartedAt, EndedAt: st.EndedAt,
		Items: st.Items, Decisions: []store.Entry{}, Slowest: []store.ItemInfo{}, Broken: []brokenKey{}, OldAlive: []brokenKey{},
	}
	counts, err := o.store.ClassCounts(ctx, o.run.ID)
	if err != nil {
		return r, err
	}
	r.Exceptions = exceptions(st.Kind, counts)
	if err := o.addExamples(ctx, r.Exceptions); err != nil {
		return r, err
	}
	slowest, err := o.store.Slowest(ctx, o.run.ID, reportSlowest)
	if err != nil {
		return r, err
	}
	r.Slowest = append(r.Slowest, slowest...)
	if st.migrating() {
		r.Migration = o.migrationReport(st)
	} else if err := o.addBroken(ctx, &r); err != nil {
		return r, err
	}
	if r.Certificate, err = o.store.Certificate(ctx, o.run.ID); err != nil {
		return r, err
	}
	r.Journal.Entries, r.Journal.Head, err = o.store.VerifyJournal(ctx)
	if r.Journal.OK = err == nil; err != nil {
		if ctx.Err() != nil {
			return r, err
		}
		r.Journal.Problem = err.Error()
	}
	return r, o.store.Journal(ctx, 0, o.run.ID, func(e store.Entry) error {
		r.Decisions = append(r.Decisions, e)
		return nil
	})
}

// exceptions puts counts into words.
func exceptions(k rotation.Kind, counts []store.ClassCount) []exception {
	all := make([]exception, len(counts))
	for i, n := range counts {
		all[i] = exception{State: n.State, Class: n.Class, Words: exceptionWords(k, n), Shops: n.Count}
	}
	return all
}

func exceptionWords(k rotation.Kind, n store.ClassCount) string {
	switch {
	case n.State == rotation.ItemWaived: // its class is of the last try
		return "accepted by an operator"
	case n.Class != "":
		return n.Class.Words()
	case n.State == rotation.ItemSkipped && k == rotation.KindTokenMigration:
		return "excluded by an operator, with an OAuth token already, or without a legacy credential"
	case n.State == rotation.ItemSkipped:
		return "excluded by an operator, or without a token"
	}
	return "not asked again yet"
}

// exceptionStates are those that ClassCounts counts.
var exceptionStates = []rotation.ItemState{
	rotation.ItemRetrying, rotation.ItemUnknown, rotation.ItemParked, rotation.ItemSkipped, rotation.ItemWaived,
}

// addExamples finds the first shops of each exception.
func (o onRun) addExamples(ctx context.Context, all []exception) error {
	missing := 0
	for _, e := range all {
		missing += min(e.Shops, reportExamples)
	}
	return o.eachItem(ctx, exceptionStates, func(i store.ItemInfo) (bool, error) {
		for n := range all {
			if e := &all[n]; e.State == i.State && e.Class == i.Class && len(e.Examples) < min(e.Shops, reportExamples) {
				e.Examples = append(e.Examples, example{i.Domain, i.Detail})
				missing--
			}
		}
		return missing > 0, nil
	})
}

// eachItem calls yield for the run's items in the given states, in order, while
// it says to go on.
func (o onRun) eachItem(ctx context.Context, states []rotation.ItemState, yield func(store.ItemInfo) (bool, error)) error {
	for after := int64(0); ; {
		page, err := o.store.Items(ctx, o.run.ID, states, after, shopPage)
		if err != nil {
			return err
		}
		for _, i := range page {
			after = i.Position
			if more, err := yield(i); err != nil || !more {
				return err
			}
		}
		if len(page) < shopPage {
			return nil
		}
	}
}

func (o onRun) addBroken(ctx context.Context, r *runReport) error {
	checked, err := o.store.Checked(ctx, o.run.ID)
	if err != nil {
		return err
	}
	r.Checked = checked
	r.WrongRevoke = o.wrongRevoke(checked)
	if r.BrokenTotal, r.OldAliveTotal, err = o.store.CountBroken(ctx, o.run.ID); err != nil {
		return err
	}
	first, err := o.store.Broken(ctx, o.run.ID, reportBroken)
	if err != nil {
		return err
	}
	for _, i := range first {
		r.Broken = append(r.Broken, o.broken(i, r.WrongRevoke))
	}
	if first, err = o.store.OldAlive(ctx, o.run.ID, reportBroken); err != nil {
		return err
	}
	for _, i := range first {
		r.OldAlive = append(r.OldAlive, o.broken(i, r.WrongRevoke))
	}
	return nil
}

// wrongRevoke tells that the new secret was revoked instead of the old one.
func (o onRun) wrongRevoke(checked rotation.Revocation) bool {
	return rotation.WrongSecretRevoked(rotation.Snapshot{Kind: o.run.Kind, Mode: o.run.Mode, Phase: o.run.Phase, Revocation: checked})
}

// broken has no re-install link where the old token lives, nor after a wrong revoke: it
// would cost the merchant the token that works.
func (o onRun) broken(i store.ItemInfo, wrongRevoke bool) brokenKey {
	b := brokenKey{Domain: i.Domain, OldDead: i.OldDead != nil && *i.OldDead, NewAlive: i.NewAlive != nil && *i.NewAlive}
	if !b.NewAlive && b.OldDead && !wrongRevoke {
		b.InstallURL = o.installURL(i.Domain)
	}
	return b
}

// installURL is the shop's re-install link; "" while the app's scopes are not
// known.
func (o onRun) installURL(shop string) string {
	url, err := haravan.InstallURL(shop, o.app.ClientID, o.app.Settings.Scopes, o.app.Settings.RedirectURI)
	if err != nil {
		return ""
	}
	return url
}
