package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// MigrationOptions steer a token migration.
type MigrationOptions struct {
	// SecretVersion is what tokens are derived from, 0 for the oldest version
	// that is not revoked: the one that was current when they were issued.
	SecretVersion int
	// CheckSample is how many derived tokens are looked at before the cutover:
	// -1 for all, 0 for none.
	CheckSample int
	// InFlight, BatchSize and Waves override the app's settings unless zero.
	InFlight  int
	BatchSize int64
	Waves     *rotation.WavePolicy
}

// StartMigration opens a token migration.
func (o Operator) StartMigration(ctx context.Context, app store.App, opt MigrationOptions) (store.Run, error) {
	const what = "start"
	if err := haravan.CheckVectors(); err != nil {
		return store.Run{}, err
	}
	from, err := o.derivingSecret(ctx, app, opt.SecretVersion)
	if err != nil {
		return store.Run{}, err
	}
	legacy, err := o.Store.Legacy(ctx, app.ID)
	if err != nil {
		return store.Run{}, err
	}
	if why := nothingToDerive(legacy); why != "" {
		return store.Run{}, &Refused{What: what, Why: why}
	}
	why, err := unfitBinding(ctx, o.Store, app.ID)
	if err != nil {
		return store.Run{}, err
	}
	if why != "" {
		return store.Run{}, &Refused{What: what, Why: why}
	}
	set := settings(app, StartOptions{InFlight: opt.InFlight, BatchSize: opt.BatchSize, Waves: opt.Waves})
	set.CheckSample = opt.CheckSample
	run, err := o.Store.StartRun(ctx, o.Actor, store.NewRun{
		App: app, Kind: rotation.KindTokenMigration, Mode: rotation.ModePlanned, OldSecretID: from.ID, Settings: set,
	})
	if errors.Is(err, store.ErrRunOpen) {
		return run, runIsOpen(false)
	}
	return run, err
}

// derivingSecret is the version to derive from; one whose value does not open is
// refused before a million tokens are tried with it.
func (o Operator) derivingSecret(ctx context.Context, app store.App, version int) (store.Secret, error) {
	secrets, err := o.Store.Secrets(ctx, app.ID)
	if err != nil {
		return store.Secret{}, err
	}
	from, why := chooseVersion(secrets, version)
	if why != "" {
		return from, &Refused{What: "start", Why: why}
	}
	if _, err := o.Store.SecretValue(ctx, from.ID); err != nil {
		return from, &Refused{What: "start", Why: unusable(from, err)}
	}
	return from, nil
}

func unusable(s store.Secret, err error) string {
	return fmt.Sprintf("secret version %d cannot be used: %v", s.Version, err)
}

// oldestFirst orders versions by their age at the platform, which two that have
// changed places (store.SwapSecrets) do not have in the order of their numbers.
func oldestFirst(secrets []store.Secret) []store.Secret {
	living := []store.SecretState{store.SecretRetiring, store.SecretActive, store.SecretPending}
	ordered := slices.Clone(secrets)
	slices.SortStableFunc(ordered, func(a, b store.Secret) int {
		return cmp.Compare(slices.Index(living, a.State), slices.Index(living, b.State))
	})
	return ordered
}

// chooseVersion finds the secret that was current when the legacy tokens were
// issued: the version that is named, else the oldest that is neither revoked nor discarded.
func chooseVersion(secrets []store.Secret, version int) (from store.Secret, why string) {
	var have []string
	for _, s := range secrets {
		have = append(have, fmt.Sprintf("%d (%s)", s.Version, s.State))
	}
	secrets = oldestFirst(secrets)
	i := slices.IndexFunc(secrets, func(s store.Secret) bool {
		return version == s.Version || version == 0 && s.State != store.SecretRevoked && s.State != store.SecretDiscarded
	})
	switch {
	case len(secrets) == 0:
		return from, "the app's secret is not stored: enter it with `rotator secret add`"
	case i < 0 && version == 0:
		return from, "every stored secret is revoked: legacy tokens are derived from the one that was current when they were issued"
	case i < 0:
		return from, fmt.Sprintf("there is no secret version %d; stored: %s", version, strings.Join(have, ", "))
	case secrets[i].State == store.SecretDiscarded:
		return from, fmt.Sprintf("secret version %d is discarded: its value is shredded; stored: %s", version, strings.Join(have, ", "))
	case secrets[i].State == store.SecretRevoked:
		return from, fmt.Sprintf("secret version %d is revoked: a token that is derived from it is dead; stored: %s", version, strings.Join(have, ", "))
	}
	return secrets[i], ""
}

// notOldest says what it means to derive from another version than the app's
// oldest; one that was discarded unused does not count.
func notOldest(secrets []store.Secret, from store.Secret) string {
	secrets = oldestFirst(secrets)
	i := slices.IndexFunc(secrets, func(s store.Secret) bool { return s.State != store.SecretDiscarded })
	switch {
	case i < 0 || secrets[i].Version == from.Version:
		return ""
	case secrets[i].State == store.SecretRevoked:
		return fmt.Sprintf("not the oldest, version %d is revoked: legacy tokens that were issued under it can be derived no more; "+
			"what is derived for them is refused, as the check before the cutover shows, and their merchants install the app again", secrets[i].Version)
	}
	return fmt.Sprintf("not the oldest, version %d is %s: the derived tokens are right only if version %d was current when the legacy tokens were issued",
		secrets[i].Version, secrets[i].State, from.Version)
}

func nothingToDerive(l store.Legacy) string {
	switch {
	case l.Underived > 0:
		return ""
	case l.Shops == 0:
		return "no shop is stored: import the shops with their legacy tokens (`rotator shop import`, column legacy_token or legacy_password)"
	case l.Tokens+l.Passwords == 0:
		return fmt.Sprintf("none of %d stored shops has a legacy token: import them (`rotator shop import`, column legacy_token or legacy_password)", l.Shops)
	}
	return fmt.Sprintf("none of %d stored shops has a legacy token that is still to be derived: %d have an OAuth token already, %d are excluded", l.Shops, l.WithOAuth, l.Excluded)
}

// leftBehind refuses a rotation that would leave shops with nothing but a legacy
// token, which dies with the secret that it is derived from.
func (o Operator) leftBehind(ctx context.Context, app store.App) error {
	legacy, err := o.Store.Legacy(ctx, app.ID)
	if err != nil || legacy.Underived == 0 {
		return err
	}
	return &Refused{
		What: "start",
		Why: fmt.Sprintf("%s a legacy token and no OAuth token: a rotation cannot exchange it, and the revoke at its end kills what could be derived from it; "+
			"migrate them first, or leave them behind with --leave-legacy", rotation.Counted(legacy.Underived, "shop", "has", "have")),
		Next: rotation.Step{Command: "rotator tokenmigration plan", Why: "says what a token migration would do", Human: true},
	}
}

// ConfirmScrubbed empties the legacy credentials in many short transactions, if
// the step is allowed, with the legacy column of the app's own table, and then
// enters scrubbed with a certificate. dropColumn drops that column besides. Killed
// in between, it is said again. Said again later, it empties what was stored since.
func (o Operator) ConfirmScrubbed(ctx context.Context, runID int64, note, confirmed string, dropColumn bool, progress func(done, total int64)) error {
	const phase, what = rotation.PhaseScrubbed, "confirm scrubbed"
	snap, run, err := o.Store.Snapshot(ctx, runID, store.Counted)
	if err != nil {
		return err
	}
	if err := mayScrub(snap, run, confirmed); err != nil {
		return err
	}
	column, err := o.legacyColumn(ctx, run.AppID, dropColumn)
	if err != nil {
		return err
	}
	var fault *store.BoundFault
	if err := o.Store.ScrubLegacy(ctx, run, progress); errors.As(err, &fault) {
		return refuse(what, fault.Error()+"; nothing is lost: mend that and say it again", snap)
	} else if err != nil {
		return err
	}
	waived, err := o.waivedShops(ctx, runID)
	if err != nil {
		return err
	}
	err = o.Store.InRun(ctx, runID, func(tx *store.Tx, snap rotation.Snapshot, run store.Run) error {
		if err := mayScrub(snap, run, confirmed); err != nil {
			return err
		}
		if n := snap.Migration.LegacyLeft; n > 0 || len(waived) != snap.Counts.Waived {
			return refuse(what, fmt.Sprintf("%s a legacy credential, which changed meanwhile or whose row is locked: say it again", rotation.Counted(n, "shop", "still has", "still have")), snap)
		}
		if dropColumn {
			if err := tx.DropLegacy(ctx, o.Actor, store.App{ID: run.AppID, Name: snap.App}, column.binding); err != nil {
				return err
			}
		}
		if err := tx.Attest(ctx, run.ID, phase, o.Actor, note); err != nil || run.Phase == phase {
			return err
		}
		if err := tx.EnterPhase(ctx, o.Actor, run, phase, rotation.Gate(snap)); err != nil {
			return err
		}
		run.Phase, run.PhaseAt = phase, snap.Now // the clock of this transaction
		word := rotation.Attestation{Actor: o.Actor, Note: note, At: snap.Now}
		return tx.Certify(ctx, o.Actor, run, rotation.CertifyScrub(snap, word, waived, column.words))
	})
	if errors.As(err, &fault) {
		return refuse(what, fault.Error()+"; the legacy credentials are removed: say it again, or without --drop-column", snap)
	}
	return err
}

func mayScrub(snap rotation.Snapshot, run store.Run, confirmed string) error {
	if run.Phase != rotation.PhaseScrubbed || !run.Open() {
		return mayConfirm(snap, run, rotation.PhaseScrubbed, confirmed)
	}
	if confirmed != snap.App {
		return refuse("confirm scrubbed", fmt.Sprintf("repeat the app's name with --confirm %s", snap.App), snap)
	}
	return nil
}

// waivedShops lists the shops that operators accepted by name.
func (o Operator) waivedShops(ctx context.Context, runID int64) ([]rotation.WaivedShop, error) {
	waived := []rotation.WaivedShop{}
	for after := int64(0); ; {
		page, err := o.Store.Items(ctx, runID, []rotation.ItemState{rotation.ItemWaived}, after, 1000)
		if err != nil || len(page) == 0 {
			return waived, err
		}
		for _, i := range page {
			waived = append(waived, rotation.WaivedShop{Shop: i.Domain, Reason: i.Detail})
			after = i.Position
		}
	}
}
