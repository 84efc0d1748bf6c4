package operate

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// LegacyReader is what the plan of a token migration may do: nothing but read.
type LegacyReader interface {
	Legacy(ctx context.Context, appID int64) (store.Legacy, error)
	Secrets(ctx context.Context, appID int64) ([]store.Secret, error)
	SecretValue(ctx context.Context, id int64) (secret.String, error)
	ExportShops(ctx context.Context, appID int64, yield func(shopfile.Row) error) error
	OpenRuns(ctx context.Context) ([]store.Run, error)
	BindingReader
}

// MigrationPlan tells what a token migration would do, and what would keep it
// from starting.
type MigrationPlan struct {
	Shops int `json:"shops"`
	// Derive, Unchanged and Malformed are the shops that would be taken: from a
	// token, with a password as it is, or set aside for a person.
	Derive    int `json:"derive"`
	Unchanged int `json:"passwords"`
	Malformed int `json:"malformed"`
	// MalformedShops are the first of them.
	MalformedShops []MalformedShop `json:"malformed_shops"`
	// WithOAuth, Neither and Excluded are the shops that would be skipped.
	WithOAuth int `json:"have_oauth_token"`
	Neither   int `json:"have_neither"`
	Excluded  int `json:"excluded"`
	// SecretVersion is what tokens would be derived from, 0 if nothing can be.
	SecretVersion int `json:"secret_version"`
	// SecretNote says what it means that an older version was in use before that
	// one; "" if none was.
	SecretNote string `json:"secret_note,omitempty"`
	Vectors    bool   `json:"vectors_pass"`
	// MissingScopes are those of the app's that no derived token carries: then
	// every merchant must authorize the app again.
	NeededScopes  []string `json:"needed_scopes"`
	MissingScopes []string `json:"missing_scopes"`
	// Problems say why a start would be refused.
	Problems []string `json:"problems"`
}

// MalformedShop is a shop whose legacy value cannot be what Haravan issued.
type MalformedShop struct {
	Domain  string `json:"domain"`
	Problem string `json:"problem"`
}

// planMalformed is how many malformed shops a plan names.
const planMalformed = 10

// MakeMigrationPlan counts and reads. It writes nothing and calls nobody.
func MakeMigrationPlan(ctx context.Context, r LegacyReader, app store.App, version int) (MigrationPlan, error) {
	p := MigrationPlan{
		NeededScopes: append([]string{}, app.Settings.Scopes...), MissingScopes: append([]string{}, haravan.MissingScopes(app.Settings.Scopes)...),
		MalformedShops: []MalformedShop{}, Problems: []string{},
	}
	legacy, err := r.Legacy(ctx, app.ID)
	if err != nil {
		return p, err
	}
	p.Shops, p.WithOAuth, p.Neither, p.Excluded = legacy.Shops, legacy.WithOAuth, legacy.Neither, legacy.Excluded
	if why := nothingToDerive(legacy); why != "" {
		p.Problems = append(p.Problems, why)
	}
	if err := haravan.CheckVectors(); err != nil {
		p.Problems = append(p.Problems, err.Error())
	} else {
		p.Vectors = true
	}
	for _, look := range []func(context.Context, LegacyReader, store.App, int) error{p.lookAtSecret, p.lookAtRuns, p.lookAtTable} {
		if err := look(ctx, r, app, version); err != nil {
			return p, err
		}
	}
	return p, r.ExportShops(ctx, app.ID, func(row shopfile.Row) error {
		p.count(row)
		return nil
	})
}

// lookAtSecret finds the version to derive from, and whether its value opens.
func (p *MigrationPlan) lookAtSecret(ctx context.Context, r LegacyReader, app store.App, version int) error {
	secrets, err := r.Secrets(ctx, app.ID)
	if err != nil {
		return err
	}
	from, why := chooseVersion(secrets, version)
	if why != "" {
		p.Problems = append(p.Problems, why)
		return nil
	}
	p.SecretVersion, p.SecretNote = from.Version, notOldest(secrets, from)
	if _, err := r.SecretValue(ctx, from.ID); err != nil {
		p.Problems = append(p.Problems, unusable(from, err))
	}
	return nil
}

func (p *MigrationPlan) lookAtRuns(ctx context.Context, r LegacyReader, app store.App, _ int) error {
	runs, err := r.OpenRuns(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.AppID == app.ID {
			p.Problems = append(p.Problems, fmt.Sprintf("run %d of this app is open, a %s in phase %s: it must be finished or cancelled first", run.ID, run.Kind.Words(), run.Phase))
		}
	}
	return nil
}

func (p *MigrationPlan) lookAtTable(ctx context.Context, r LegacyReader, app store.App, _ int) error {
	why, err := unfitBinding(ctx, r, app.ID)
	if why != "" {
		p.Problems = append(p.Problems, why)
	}
	return err
}

// count takes a shop for what the run would do with it.
func (p *MigrationPlan) count(row shopfile.Row) {
	value := row.LegacyToken
	if value.IsZero() {
		value = row.LegacyPassword
	}
	if value.IsZero() || !row.AccessToken.IsZero() || row.ExcludedReason != "" {
		return
	}
	if err := haravan.CheckLegacy(value); err != nil {
		p.Malformed++
		if len(p.MalformedShops) < planMalformed {
			p.MalformedShops = append(p.MalformedShops, MalformedShop{row.Domain, err.Error()})
		}
		return
	}
	if row.LegacyToken.IsZero() {
		p.Unchanged++
	} else {
		p.Derive++
	}
}

// Next is what to do after the plan.
func (p MigrationPlan) Next() rotation.Step {
	if len(p.Problems) > 0 {
		return rotation.Step{Why: "a token migration cannot start: " + p.Problems[0]}
	}
	command := "rotator tokenmigration start"
	if p.SecretVersion != 1 {
		command += fmt.Sprintf(" --secret-version %d", p.SecretVersion)
	}
	return rotation.Step{Command: command, Human: true, Why: "derives the tokens beside what the shops use now, and asks nobody; until the cutover it can be cancelled without a trace"}
}
