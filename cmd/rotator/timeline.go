package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// timeline is a run as an incident report tells it: what happened when, by whom,
// and how long shops were down. Its JSON is a contract.
type timeline struct {
	Run  int64         `json:"run"`
	App  string        `json:"app"`
	Mode rotation.Mode `json:"mode"`
	// RevokedAt is when a breach run's revoke was confirmed; nil in others.
	RevokedAt *time.Time `json:"revoked_at"`
	At        time.Time  `json:"at"`
	Entries   []happened `json:"entries"`
	// Back is nil while no shop is proven.
	Back *backSummary `json:"back"`
	// Kept counts the shops of a breach whose token the revoke did not kill: an earlier
	// run, which was cancelled, exchanged them. They are not in Back: when the app
	// loaded their token is not known.
	Kept int `json:"kept"`
	// Expected is what was said before a breach run began.
	Expected *rotation.Outage `json:"expected"`

	waiting int // shops without a proven token that were not kept
}

// happened is one line of a timeline.
type happened struct {
	At time.Time `json:"at"`
	// SinceRevoke is in seconds, negative before it; nil where nothing was
	// revoked first.
	SinceRevoke *float64 `json:"seconds_since_revoke"`
	Actor       string   `json:"actor"`
	Event       string   `json:"event"`
	Words       string   `json:"words"`
}

// backSummary says how long shops of one priority, or all, were without a token.
type backSummary struct {
	Shops   int `json:"shops"`
	Waiting int `json:"waiting"`
	// The times are seconds from the revoke, or from the run's start if nothing
	// was revoked first.
	First float64     `json:"first_seconds"`
	Mean  float64     `json:"mean_seconds"`
	P50   float64     `json:"p50_seconds"`
	P90   float64     `json:"p90_seconds"`
	P99   float64     `json:"p99_seconds"`
	Last  float64     `json:"last_seconds"`
	Tiers []backTiers `json:"tiers,omitempty"`
}

type backTiers struct {
	Priority int `json:"priority"`
	backSummary
}

// tellTimeline reads the run's journal and when its shops were proven.
func (o onRun) tellTimeline(ctx context.Context) (timeline, error) {
	snap, run, err := o.store.Snapshot(ctx, o.run.ID, store.Counted)
	if err != nil {
		return timeline{}, err
	}
	t := timeline{Run: run.ID, App: snap.App, Mode: run.Mode, At: snap.Now, Entries: []happened{}, Expected: run.Settings.Outage}
	if a, ok := snap.Attested[rotation.PhaseContained]; ok {
		t.RevokedAt = &a.At
	}
	err = o.store.Journal(ctx, 0, run.ID, func(e store.Entry) error {
		t.Entries = append(t.Entries, happened{At: e.At, Actor: e.Actor, Event: e.Event, Words: eventWords(e)})
		return nil
	})
	if err != nil {
		return t, err
	}
	returns, err := o.store.Returns(ctx, run.ID)
	if err != nil {
		return t, err
	}
	if len(returns) > 0 {
		t.Kept, t.waiting = returns[0].Kept, returns[0].Waiting
		if returns[0].Shops > 0 {
			t.addBack(returns, run.CreatedAt)
		}
	}
	slices.SortStableFunc(t.Entries, func(a, b happened) int { return a.At.Compare(b.At) })
	if t.RevokedAt != nil {
		for i := range t.Entries {
			since := tenth(t.Entries[i].At.Sub(*t.RevokedAt))
			t.Entries[i].SinceRevoke = &since
		}
	}
	return t, nil
}

func (t *timeline) addBack(returns []store.Returns, started time.Time) {
	from, word, waits := started, "proven", "without a proven token"
	if t.RevokedAt != nil {
		from, word, waits = *t.RevokedAt, "back", "still down"
	}
	all := returns[0]
	for _, mark := range []struct {
		event, words string
		at           time.Time
	}{
		{"shops.first", "the first shop is " + word, all.First},
		{"shops.p50", fmt.Sprintf("half of %s are %s", plural(all.Shops, "shop"), word), all.P50},
		{"shops.p90", fmt.Sprintf("90 %% of them are %s", word), all.P90},
		{"shops.p99", fmt.Sprintf("99 %% of them are %s", word), all.P99},
		{"shops.last", fmt.Sprintf("the last of them is %s; %s %s", word, plural(all.Waiting, "shop"), waits), all.Last},
	} {
		t.Entries = append(t.Entries, happened{At: mark.at.UTC(), Actor: store.ActorEngine, Event: mark.event, Words: mark.words})
	}
	sum := summarise(all, from)
	for _, r := range returns[1:] {
		tier := backTiers{Priority: *r.Priority}
		if tier.backSummary = (backSummary{Waiting: r.Waiting}); r.Shops > 0 {
			tier.backSummary = summarise(r, from)
		}
		sum.Tiers = append(sum.Tiers, tier)
	}
	t.Back = &sum
}

func summarise(r store.Returns, from time.Time) backSummary {
	since := func(at time.Time) float64 { return tenth(at.Sub(from)) }
	return backSummary{
		Shops: r.Shops, Waiting: r.Waiting, First: since(r.First), Mean: since(r.Mean), P50: since(r.P50), P90: since(r.P90), P99: since(r.P99), Last: since(r.Last),
	}
}

func tenth(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// eventWords puts a journal entry's detail into words. What a later version
// writes is shown as it is stored; no entry holds a secret.
func eventWords(e store.Entry) string {
	var d struct {
		Note, Why, Was, From, Domain, Reason, Class, Fingerprint, Held string
		Shop, Wire, Words                                              string
		Measured                                                       rotation.Measured
		Wave, Shops, Late, Again, Items, Version                       int
		Lost                                                           bool
		ExpiresAt                                                      time.Time `json:"expires_at"`
		Mode                                                           rotation.Mode
		Settings                                                       store.RunSettings
	}
	// The certificate has a field of another kind under one of these names.
	var other *json.UnmarshalTypeError
	if err := json.Unmarshal(e.Detail, &d); err != nil && !errors.As(err, &other) {
		return string(e.Detail)
	}
	kind, what, _ := strings.Cut(e.Event, ".")
	switch {
	case kind == "attested" && d.Note == "":
		return what + " is confirmed"
	case kind == "attested":
		return fmt.Sprintf("%s is confirmed: %s", what, d.Note)
	case kind == "phase":
		return fmt.Sprintf("the run goes from %s to %s", d.From, what)
	}
	switch e.Event {
	case "run.started":
		words := fmt.Sprintf("a %s run is opened", d.Mode)
		if o := d.Settings.Outage; o != nil {
			words += "; expected: " + o.Words()
		}
		return words
	case "run.walked":
		return fmt.Sprintf("every shop is in the run: %d", d.Shops)
	case "run.swept":
		return fmt.Sprintf("late shops taken in: %d; due again: %d", d.Late, d.Again)
	case "run.armed":
		return fmt.Sprintf("a refresh token (fingerprint %s) is entered, good until %s", d.Fingerprint, moment(&d.ExpiresAt))
	case "run.held":
		return fmt.Sprintf("held (%s): %s", d.Held, d.Why)
	case "run.resumed":
		return fmt.Sprintf("resumed; it was held (%s): %s", d.Was, d.Why)
	case "run.secret_replaced":
		if d.Lost {
			return fmt.Sprintf("the new secret, which is lost, is replaced by version %d", d.Version)
		}
		return fmt.Sprintf("the new secret, entered wrongly, is replaced by version %d", d.Version)
	case "run.certified":
		return "the certificate is written: nothing needs the old secret"
	case "run.unrevoked":
		return "the old secret counts as alive again: the new one was revoked instead"
	case "run.cancelled":
		return "the run is cancelled"
	case "run.tuned":
		return "the run's settings are changed"
	case "run.judged":
		return "judged by " + d.Measured.How + ": " + d.Words
	case "run.wire_pinned":
		return fmt.Sprintf("the platform takes the exchange spelled %s, found on %s", d.Wire, d.Shop)
	case "wave.released":
		return fmt.Sprintf("wave %d begins (%s)", d.Wave, cmp.Or(d.Why, "no reason given"))
	case "wave.settled":
		return fmt.Sprintf("wave %d is tried to its end", d.Wave)
	case "shop.excluded":
		return fmt.Sprintf("%s is excluded: %s", d.Domain, d.Reason)
	case "shop.included":
		return d.Domain + " takes part again"
	case "item.cooldown_ignored":
		return d.Domain + " is asked again although it asked to be left alone"
	case "item.waived":
		return fmt.Sprintf("%s is waived: %s", d.Domain, d.Reason)
	case "items.retried":
		return fmt.Sprintf("shops made due again: %d", d.Items)
	}
	return string(e.Detail)
}
