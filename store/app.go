package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// App is one Haravan application.
type App struct {
	ID        int64       `json:"-"`
	Name      string      `json:"name"`
	ClientID  string      `json:"client_id"`
	Settings  AppSettings `json:"settings"`
	CreatedAt time.Time   `json:"created_at"`
	// DeliverKeyFingerprint is of the key that signs deliveries, "" for none.
	DeliverKeyFingerprint string `json:"deliver_key_fingerprint,omitempty"`
	// DeliverKey is only written: the key that SetApp shall store, if any.
	DeliverKey secret.String `json:"-"`
}

// AppSettings is what an operator says about an app; zero values are defaults.
type AppSettings struct {
	// APIURL overrides ROTATOR_API_URL for this app.
	APIURL string `json:"api_url,omitempty"`
	// Wire is the client's wire variant, as package haravan encodes it.
	Wire json.RawMessage `json:"wire,omitempty"`
	// WireProbe is "on" or "off"; "" looks for the variant unless Wire says one.
	WireProbe string `json:"wire_probe,omitempty"`
	// HealthURL is polled while a run exchanges; "" for none.
	HealthURL string `json:"health_url,omitempty"`
	// Scopes and RedirectURI build re-install links.
	Scopes      []string `json:"scopes,omitempty"`
	RedirectURI string   `json:"redirect_uri,omitempty"`
	// InFlight caps the calls in flight per run; 0 is the worker's default.
	InFlight int `json:"inflight,omitempty"`
	// GraceSeconds is how long webhooks signed by the old secret are accepted
	// after its revoke; nil is DefaultGrace.
	GraceSeconds *int `json:"webhook_grace_seconds,omitempty"`
	// CheckSample is how many shops are looked at after the revoke; 0 is
	// DefaultCheckSample, -1 is all.
	CheckSample int `json:"check_sample,omitempty"`
	Pacing
	// Waves is the policy of the app's runs; nil is rotation.DefaultWavePolicy.
	Waves *rotation.WavePolicy `json:"waves,omitempty"`
	// DeliverURL is told of every new token; "" for none.
	DeliverURL string `json:"deliver_url,omitempty"`
	// SecretMaxAgeHours is how old the secret may become, SecretWarnAgeHours from
	// when checks say so; 0 is as in rotation.DefaultPolicy.
	SecretMaxAgeHours  int `json:"secret_max_age_hours,omitempty"`
	SecretWarnAgeHours int `json:"secret_warn_age_hours,omitempty"`
}

const (
	// DefaultGrace: old-signed webhooks of the platform that Haravan's copies
	// were seen up to an hour after the revoke.
	DefaultGrace = time.Hour
	// DefaultCheckSample is enough to see one bad shop in 300 with 96 %.
	DefaultCheckSample = 1000
)

// Grace is the app's grace for webhooks after the revoke.
func (a AppSettings) Grace() time.Duration {
	if a.GraceSeconds == nil {
		return DefaultGrace
	}
	return time.Duration(*a.GraceSeconds) * time.Second
}

// Probes reports whether the first canary shop of a run is to find the wire
// variant: not if the app's was said, unless that is asked for.
func (a AppSettings) Probes() bool {
	switch a.WireProbe {
	case "on":
		return true
	case "off":
		return false
	}
	return len(a.Wire) == 0
}

const appColumns = `a.id, a.name, a.client_id, a.settings, a.created_at, coalesce(v.key_fingerprint, '')
	from rotator.apps a left join rotator.receivers v on v.app_id = a.id`

var (
	upsertApp = sql(`insert into rotator.apps (name, client_id, settings) values ($1, $2, $3)
		on conflict (name) do update set client_id = excluded.client_id, settings = excluded.settings, updated_at = now()
		returning id, created_at`)
	readApps    = sql(`select ` + appColumns + ` where $1 = '' or a.name = $1 order by a.name`)
	readAppByID = sql(`select ` + appColumns + ` where a.id = $1`)
)

// SetApp stores the app under its name and journals it.
func (s *Store) SetApp(ctx context.Context, actor string, a App) (App, error) {
	settings, err := json.Marshal(a.Settings)
	if err != nil {
		return a, fmt.Errorf("encode the app's settings: %w", err)
	}
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			was, err := tx.deliverURL(ctx, a.Name)
			if err != nil {
				return err
			}
			if err := tx.tx.QueryRow(ctx, upsertApp, a.Name, a.ClientID, settings).Scan(&a.ID, &a.CreatedAt); err != nil {
				return fmt.Errorf("store app %s: %w", a.Name, err)
			}
			if err := tx.setReceiver(ctx, &a, was); err != nil {
				return err
			}
			return tx.Log(ctx, actor, "app.set", 0, a)
		})
	})
	return a, err
}

// Apps lists the apps by name.
func (s *Store) Apps(ctx context.Context) ([]App, error) { return s.apps(ctx, "") }

// App returns the app of that name, or the only one when name is empty.
func (s *Store) App(ctx context.Context, name string) (App, error) {
	apps, err := s.apps(ctx, name)
	switch {
	case err != nil:
		return App{}, err
	case len(apps) == 1:
		return apps[0], nil
	case name != "":
		return App{}, fmt.Errorf("app %s: %w", name, ErrNotFound)
	case len(apps) == 0:
		return App{}, noApp{}
	}
	return App{}, fmt.Errorf("%d apps are set: %w", len(apps), ErrSeveralApps)
}

// noApp is ErrNotFound where nobody named what was looked for.
type noApp struct{}

// Error implements error.
func (noApp) Error() string { return "no app is set: run `rotator app set` first" }

// Is implements the interface of errors.Is.
func (noApp) Is(target error) bool { return target == ErrNotFound }

// ErrSeveralApps: no app was named, and it is not clear which is meant.
var ErrSeveralApps = errors.New("name one with --app")

// AppByID returns the app with that id.
func (s *Store) AppByID(ctx context.Context, id int64) (App, error) {
	rows, err := s.pool.Query(ctx, readAppByID, id)
	if err != nil {
		return App{}, fmt.Errorf("read app %d: %w", id, err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanApp)
	return a, one(err, "app %d", id)
}

func (s *Store) apps(ctx context.Context, name string) ([]App, error) {
	return collect(ctx, s.pool, "read apps", scanApp, readApps, name)
}

func scanApp(row pgx.CollectableRow) (App, error) {
	var a App
	var settings []byte
	if err := row.Scan(&a.ID, &a.Name, &a.ClientID, &settings, &a.CreatedAt, &a.DeliverKeyFingerprint); err != nil {
		return a, err
	}
	if err := json.Unmarshal(settings, &a.Settings); err != nil {
		return a, errors.Join(fmt.Errorf("settings of app %s cannot be read", a.Name), err)
	}
	return a, nil
}
