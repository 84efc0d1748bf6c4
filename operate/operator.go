package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Operator acts on runs in somebody's name.
type Operator struct {
	Store *store.Store
	// Actor is who, for the journal.
	Actor string
}

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
	if err := o.notToTheDead(ctx, app, from, to); err != nil {
		return store.Run{}, err
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
	if errors.Is(err, store.ErrRunOpen) { // since a moment
		return run, runIsOpen(opt.Breach != nil)
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
	if err != nil || len(runs) == 0 {
		return err
	}
	if r := runs[0]; r.CancelledAt == nil || r.Phase != rotation.PhaseRevoked || r.NewSecretID != to.ID {
		return nil
	}
	return &Refused{What: "start", Why: fmt.Sprintf("run %d was cancelled because version %d was revoked instead of version %d. %s: `rotator secret discard %d --lost --confirm %s`, `rotator secret add` with another, then start again",
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

// Confirm records that a human step is done and enters its phase. confirmed is
// the app's name, typed by the operator, where the step cannot be undone;
// progress is told how far a long step is.
func (o Operator) Confirm(ctx context.Context, runID int64, phase rotation.Phase, note, confirmed string, progress func(done, total int64)) error {
	switch phase {
	case rotation.PhaseChecked:
		if err := haravan.CheckVectors(); err != nil {
			return err
		}
	case rotation.PhaseScrubbed:
		return o.ConfirmScrubbed(ctx, runID, note, confirmed, false, progress)
	case rotation.PhaseClosed:
		if err := o.shredFirst(ctx, runID, confirmed, progress); err != nil {
			return err
		}
	}
	return o.inRun(ctx, runID, store.Gated, func(tx *store.Tx, snap rotation.Snapshot, run store.Run) error {
		if phase == run.Phase && run.Open() {
			return o.again(ctx, tx, run, phase, note, confirmed, snap)
		}
		if err := mayConfirm(snap, run, phase, confirmed); err != nil {
			return err
		}
		if err := tx.Attest(ctx, run.ID, phase, o.Actor, note); err != nil {
			return err
		}
		return tx.EnterPhase(ctx, o.Actor, run, phase, rotation.Gate(snap))
	})
}

// mayConfirm refuses a step that is not the next one or whose gate is not met.
func mayConfirm(snap rotation.Snapshot, run store.Run, phase rotation.Phase, confirmed string) error {
	what := "confirm " + string(phase)
	t, ok := snap.Course().Forward(run.Phase)
	switch {
	case !run.Open():
		return refuse(what, "the run is over", snap)
	case !ok || t.To != phase || t.Driver != rotation.DriverHuman:
		return refuse(what, fmt.Sprintf("the run is in phase %s", run.Phase), snap)
	case phase == rotation.PhaseArmed:
		return refuse(what, "a refresh token arms the run", snap)
	case run.Held != rotation.HeldNot:
		return refuse(what, fmt.Sprintf("the run is held (%s): %s", run.Held, run.HeldWhy), snap)
	case t.Irreversible && confirmed != snap.App:
		return refuse(what, fmt.Sprintf("it cannot be undone: repeat the app's name with --confirm %s", snap.App), snap)
	}
	if gate := rotation.Gate(snap); !rotation.GateMet(gate) {
		return gateRefusal(what, snap, gate)
	}
	return nil
}

// shredFirst empties old tokens before a run is closed: in many short
// transactions, and only if the close would be allowed.
func (o Operator) shredFirst(ctx context.Context, runID int64, confirmed string, progress func(done, total int64)) error {
	var run store.Run
	err := o.look(ctx, runID, store.Gated, func(snap rotation.Snapshot, r store.Run) error {
		if run = r; run.Phase == rotation.PhaseClosed {
			return nil
		}
		return mayConfirm(snap, run, rotation.PhaseClosed, confirmed)
	})
	if err != nil || run.Phase == rotation.PhaseClosed {
		return err
	}
	return o.Store.ShredTokens(ctx, run, progress)
}

// again handles a step that was confirmed before: only the revoke means
// something twice, since it can take a while to bite.
func (o Operator) again(ctx context.Context, tx *store.Tx, run store.Run, phase rotation.Phase, note, confirmed string, snap rotation.Snapshot) error {
	if phase != rotation.PhaseRevoked {
		return nil
	}
	if confirmed != snap.App {
		return refuse("confirm revoked", fmt.Sprintf("repeat the app's name with --confirm %s", snap.App), snap)
	}
	if err := tx.AttestAgain(ctx, run.ID, phase, o.Actor, note); err != nil {
		return err
	}
	return tx.Recheck(ctx, run.ID)
}

// Pause holds the run; calls in flight finish.
func (o Operator) Pause(ctx context.Context, runID int64, why string) error {
	return o.onOpen(ctx, runID, "pause", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		held, err := tx.Hold(ctx, o.Actor, run.ID, rotation.HeldPaused, why)
		if err == nil && !held {
			return refuse("pause", fmt.Sprintf("the run is held already (%s)", run.Held), snap)
		}
		return err
	})
}

// Resume lets a held run go on. A run without a window needs arm instead.
func (o Operator) Resume(ctx context.Context, runID int64) error {
	return o.ResumeWith(ctx, runID, ResumeOptions{})
}

// ResumeOptions change what the run may go on with.
type ResumeOptions struct {
	// AcceptWindows lets it take more than one refresh token.
	AcceptWindows bool
	// IgnoreHealth stops the polls of the app's health URL for this run.
	IgnoreHealth bool
}

// ResumeWith is Resume with options.
func (o Operator) ResumeWith(ctx context.Context, runID int64, opt ResumeOptions) error {
	return o.onOpen(ctx, runID, "resume", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		switch {
		case run.Held == rotation.HeldNot:
			return refuse("resume", "the run is not held", snap)
		case windowIsWhy(snap) && snap.Window.Left(snap.Now) == 0 && !snap.NoneNeedsToken:
			return refuse("resume", "it needs another refresh token", snap)
		}
		before := run.Settings
		run.Settings.AcceptWindows = before.AcceptWindows || opt.AcceptWindows
		if opt.IgnoreHealth {
			run.Settings.HealthURL = ""
		}
		if run.Settings.AcceptWindows != before.AcceptWindows || run.Settings.HealthURL != before.HealthURL {
			if err := tx.SaveSettings(ctx, o.Actor, run); err != nil {
				return err
			}
		}
		return tx.Resume(ctx, o.Actor, run)
	})
}

// Cancel ends the run where it stands. In a rotation swapped tokens stay, and
// with them both secrets, and a later run takes up the rest; of a token migration
// nothing stays.
func (o Operator) Cancel(ctx context.Context, runID int64, confirmed string) error {
	if err := o.clearRowsFirst(ctx, runID, confirmed); err != nil {
		return err
	}
	return o.onOpen(ctx, runID, "cancel", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		if err := mayCancel(snap, confirmed); err != nil {
			return err
		}
		if rotation.WrongSecretRevoked(snap) {
			if err := tx.Unrevoke(ctx, o.Actor, run); err != nil {
				return err
			}
		}
		err := tx.Cancel(ctx, o.Actor, run)
		var beside *store.PendingError
		if errors.As(err, &beside) {
			return refuse("cancel", fmt.Sprintf("the run's new secret, version %d, would be pending again, and version %d is: give that one up first with `rotator secret discard %d --confirm %s`",
				snap.NewSecret, beside.Version, beside.Version, snap.App), snap)
		}
		return err
	})
}

func mayCancel(snap rotation.Snapshot, confirmed string) error {
	switch {
	case TooLateToCancel(snap) != "":
		return refuse("cancel", TooLateToCancel(snap), snap)
	case confirmed != snap.App:
		return refuse("cancel", fmt.Sprintf("%s; repeat the app's name with --confirm %s", Leaves(snap), snap.App), snap)
	}
	return nil
}

// TooLateToCancel says why a run can only be finished; "" while it can be
// cancelled.
func TooLateToCancel(s rotation.Snapshot) string {
	switch {
	case s.Kind == rotation.KindTokenMigration && !s.Phase.Before(rotation.PhaseCutover):
		return "the app is switched to OAuth, and there is no way back: the run can only be finished"
	case rotation.WrongSecretRevoked(s):
		return ""
	case s.Kind == rotation.KindRotation && rotation.Irrevocable(s.Mode, s.Phase):
		return MustFinish(s)
	}
	return ""
}

// Leaves says what a cancelled run leaves behind.
func Leaves(s rotation.Snapshot) string {
	if s.Kind == rotation.KindTokenMigration {
		return rotation.Counted(s.Counts.Exchanged, "derived token", "is", "are") + " cleared; legacy tokens, access tokens and everything else stay as they are"
	}
	unproven := ""
	if n := s.Counts.Exchanged; n > 0 {
		unproven = fmt.Sprintf("%d get a new one that is not proven yet, ", n)
	}
	words := rotation.SecretsLeft(s)
	if words != "" {
		words = "; " + words
	}
	if rotation.WrongSecretRevoked(s) {
		return rotation.Counted(s.Counts.Proven+s.Counts.Exchanged, "shop", "keeps its", "keep their") + " new token, which is dead" + words
	}
	if s.Counts.Total == 0 { // not walked yet
		return "every shop keeps the token that it has" + words
	}
	return fmt.Sprintf("%s new, proven token, %s%d keep the old one%s",
		rotation.Counted(s.Counts.Proven, "shop", "keeps its", "keep their"), unproven, s.Counts.Total-s.Counts.Proven-s.Counts.Exchanged, words)
}

// Waive accepts one shop as it is, by name and with a reason.
func (o Operator) Waive(ctx context.Context, runID int64, domain, reason string) error {
	return o.onOpen(ctx, runID, "waive", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		err := tx.Waive(ctx, o.Actor, run.ID, domain, reason)
		if errors.Is(err, store.ErrConflict) {
			return refuseConflict("waive", err, snap)
		}
		return err
	})
}
