package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// StartOptions overrides the app's settings for one run; zero values do not.
type StartOptions struct {
	InFlight    int
	BatchSize   int64
	CheckSample int
	Waves       *rotation.WavePolicy
	// Rate and Headroom are those of Tuning.
	Rate     *float64
	Headroom *int
	// LeaveLegacy starts although shops have nothing but a legacy token.
	LeaveLegacy bool
	// RequireDelivery makes the run wait for the app's acknowledgements.
	RequireDelivery bool
	// ByPriority takes the most important shops first; a breach run always does.
	ByPriority bool
	// Breach opens the run of a secret that has leaked.
	Breach *BreachOptions
	// CanaryShops are the domains of the first wave, instead of a number.
	CanaryShops []string
	// NewestLives tells that tokens of the version to which the run goes were seen to live.
	NewestLives bool
	// HealthURL is polled while the run exchanges.
	HealthURL string
}

// Start opens a rotation from the active secret to the pending one: a planned
// one, or with opt.Breach one that revokes first.
func (o Operator) Start(ctx context.Context, app store.App, opt StartOptions) (store.Run, error) {
	const what = "start"
	if err := o.NoRunOpen(ctx, app, opt.Breach != nil); err != nil {
		return store.Run{}, err
	}
	if opt.RequireDelivery && app.Settings.DeliverURL == "" {
		return store.Run{}, &Refused{What: what, Why: "the app has no URL to deliver to: set one with `rotator app set --deliver-url`, or leave --require-delivery away"}
	}
	secrets, err := o.Store.Secrets(ctx, app.ID)
	if err != nil {
		return store.Run{}, err
	}
	from, to, why := choose(app.Name, secrets)
	if why != "" {
		return store.Run{}, &Refused{What: what, Why: why}
	}
	if !opt.NewestLives {
		if err := o.notToTheDead(ctx, app, from, to); err != nil {
			return store.Run{}, err
		}
	}
	if !opt.LeaveLegacy {
		if err := o.leftBehind(ctx, app); err != nil {
			return store.Run{}, err
		}
	}
	mode := rotation.ModePlanned
	if opt.Breach != nil {
		mode = rotation.ModeBreach
		if err := mayBreach(app, from, *opt.Breach); err != nil {
			return store.Run{}, err
		}
	}
	if err := o.Store.CheckCanary(ctx, app.ID, opt.CanaryShops); err != nil {
		return store.Run{}, &Refused{What: what, Why: err.Error()}
	}
	run, err := o.Store.StartRun(ctx, o.Actor, store.NewRun{
		App: app, Kind: rotation.KindRotation, Mode: mode,
		OldSecretID: from.ID, NewSecretID: to.ID, Settings: settings(app, opt),
	})
	switch { // since a moment
	case errors.Is(err, store.ErrRunOpen):
		return run, runIsOpen(opt.Breach != nil)
	case errors.Is(err, store.ErrConflict):
		return run, &Refused{What: what, Why: "the app's secrets have changed meanwhile: see `rotator secret list`, and say it again"}
	}
	return run, err
}

// NoRunOpen refuses a start while another run of the app is open: before anything
// is measured, and before anybody is asked to accept an outage.
func (o Operator) NoRunOpen(ctx context.Context, app store.App, breach bool) error {
	runs, err := o.Store.Runs(ctx, app.ID)
	if err == nil && len(runs) > 0 && runs[0].Open() {
		return runIsOpen(breach)
	}
	return err
}

func runIsOpen(breach bool) error {
	why := "another run of this app is open: it must be finished or cancelled first"
	if breach {
		why += "; if its old secret is the one that has leaked, cancel it: it can be cancelled until its revoke"
	}
	return &Refused{What: "start", Why: why}
}

// notToTheDead refuses to go on to a secret that was revoked instead of the old one:
// a run that is cancelled after the revoke was for that.
func (o Operator) notToTheDead(ctx context.Context, app store.App, from, to store.Secret) error {
	runs, err := o.Store.Runs(ctx, app.ID)
	runs = slices.DeleteFunc(runs, func(r store.Run) bool { return r.Kind != rotation.KindRotation })
	if err != nil || len(runs) == 0 {
		return err
	}
	if r := runs[0]; r.CancelledAt == nil || r.Phase != rotation.PhaseRevoked || r.NewSecretID != to.ID {
		return nil
	}
	return &Refused{What: "start", Why: fmt.Sprintf("run %d was cancelled because version %d was revoked instead of version %d: %s; `rotator secret discard %d --lost --confirm %s`, `rotator secret add` with another, then start again",
		runs[0].ID, to.Version, from.Version, rotation.RevokeNothingMore, to.Version, app.Name)}
}

// LeavesSecret is the version of the secret that a rotation started now would leave, 0 if
// it would be refused.
func LeavesSecret(app string, secrets []store.Secret) int {
	from, _, why := choose(app, secrets)
	if why != "" {
		return 0
	}
	return from.Version
}

// choose finds the secrets that a rotation goes between: from the active to the
// pending one or, after a run that was cancelled once the app had switched, from
// the retiring to the active one.
func choose(app string, secrets []store.Secret) (from, to store.Secret, why string) {
	by := map[store.SecretState]store.Secret{}
	for _, s := range secrets {
		by[s.State] = s
	}
	active, hasActive := by[store.SecretActive]
	pending, hasPending := by[store.SecretPending]
	retiring, hasRetiring := by[store.SecretRetiring]
	switch {
	case !hasActive:
		return from, to, "the app's present secret is not stored: enter it with `rotator secret add`"
	case hasRetiring && hasPending:
		return from, to, fmt.Sprintf("version %d is not revoked yet: a rotation to version %[2]d must be finished before one to version %[3]d. Give that one up with `rotator secret discard %[3]d --confirm %[4]s`, then start: the run goes on to version %[2]d. "+
			"But if version %[2]d is the one that has leaked or is dead, revoke it and not version %[1]d, and say so with `rotator secret discard %[2]d --lost --confirm %[4]s`: then the run goes from version %[1]d to %[3]d",
			retiring.Version, active.Version, pending.Version, app)
	case hasRetiring:
		return retiring, active, ""
	case !hasPending:
		return from, to, fmt.Sprintf("no new secret is stored (version %d is in use): create one in the Partners dashboard and enter it with `rotator secret add`", active.Version)
	}
	return active, pending, ""
}

func settings(app store.App, opt StartOptions) store.RunSettings {
	s := store.RunSettings{
		Waves: rotation.DefaultWavePolicy, BatchSize: store.DefaultBatchSize, InFlight: store.DefaultInFlight,
		Wire: app.Settings.Wire, WireProbe: app.Settings.Probes(), CheckSample: store.DefaultCheckSample,
		HealthURL: cmp.Or(opt.HealthURL, app.Settings.HealthURL), CanaryShops: opt.CanaryShops,
		GraceSeconds: int(app.Settings.Grace().Seconds()), RequireDelivery: opt.RequireDelivery,
	}
	if app.Settings.Waves != nil {
		s.Waves = *app.Settings.Waves
	}
	if opt.Breach != nil {
		s.Waves, s.Outage = rotation.DefaultBreachWaves, &opt.Breach.Outage
	}
	if s.ByPriority = opt.ByPriority || opt.Breach != nil; s.ByPriority {
		s.BatchSize = store.OrderedBatchSize
	}
	if opt.Waves != nil {
		s.Waves = *opt.Waves
	}
	if len(opt.CanaryShops) > 0 {
		s.Waves.Canary = len(opt.CanaryShops)
	}
	override(&s.InFlight, app.Settings.InFlight, opt.InFlight)
	s.Pacing = app.Settings.Pacing
	pace(&s.Pacing, opt.Rate, opt.Headroom)
	override(&s.CheckSample, app.Settings.CheckSample, opt.CheckSample)
	override(&s.BatchSize, 0, opt.BatchSize)
	return s
}

func override[T int | int64](v *T, choices ...T) {
	for _, c := range choices {
		if c != 0 {
			*v = c
		}
	}
}
