package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// examiner gathers facts and keeps what package rotation finds in them. Whatever
// cannot be read is a finding, too, and the rest is still looked at.
type examiner struct {
	*cli
	flags  checkFlags
	result checkResult
	// mistake is the command line's: nothing was examined.
	mistake error
}

func (e *examiner) found(fs ...rotation.Finding) {
	e.result.Findings = append(e.result.Findings, fs...)
}

func (e *examiner) critical(code rotation.Code, words, next string) {
	e.found(rotation.Finding{Code: code, Severity: rotation.SeverityCritical, Words: inline(words), Next: next})
}

func (e *examiner) examine(ctx context.Context) {
	cfg, _ := e.settings() // loaded by now
	if cfg.DatabaseURL.IsZero() {
		// Opening it would make one.
		if at, err := pgembed.Inspect(ctx, privateDir(cfg)); err == nil && at.State == pgembed.Absent {
			e.nothing("there is no database yet")
			return
		}
	}
	pool, err := e.openDatabase(ctx, commandConns)
	if err != nil {
		e.critical(rotation.CodeDatabase, err.Error(), "rotator doctor")
		return
	}
	defer pool.Close()
	e.waiting("waiting for the database")
	asked := time.Now()
	server, err := store.Server(ctx, pool)
	if err != nil {
		e.critical(rotation.CodeDatabase, err.Error(), "rotator doctor")
		return
	}
	database := ahead(asked, time.Now(), server.Now)
	switch _, err := migrations.Check(ctx, pool); {
	case err == nil:
	case errors.Is(err, migrations.ErrNotMigrated):
		e.critical(rotation.CodeSchema, err.Error(), "rotator db migrate")
		return
	case errors.Is(err, migrations.ErrNewerSchema):
		e.critical(rotation.CodeSchema, err.Error(), "rotator version")
		return
	default:
		e.critical(rotation.CodeDatabase, err.Error(), "rotator doctor")
		return
	}
	s, keyring, err := e.keyring(ctx, pool, cfg.Keyring)
	var platform *time.Duration
	if err == nil {
		platform, err = e.apps(ctx, s, keyring)
	}
	if err != nil {
		e.critical(rotation.CodeDatabase, err.Error(), "rotator doctor")
	}
	e.found(rotation.ExamineClocks(rotation.DefaultPolicy, database, platform)...)
}

func (e *examiner) nothing(why string) {
	e.found(rotation.Finding{
		Code: rotation.CodeNothing, Severity: rotation.SeverityWarning,
		Words: why + ": is this the right one?", Next: "rotator app set --name NAME --client-id CLIENT_ID",
	})
}

// keyring opens the keyring without making one. With one that does not fit, the
// store opens nothing sealed, and what needs no key is still judged.
func (e *examiner) keyring(ctx context.Context, pool *pgxpool.Pool, path string) (*store.Store, rotation.KeyringFacts, error) {
	facts := rotation.KeyringFacts{Path: path}
	keys, err := secret.OpenKeyring(path)
	switch info, statErr := os.Stat(path); {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		facts.State = rotation.KeyringMissing
	case statErr == nil && !info.Mode().IsRegular():
		facts.State = rotation.KeyringNoFile
	case statErr == nil && info.Mode().Perm()&0o077 != 0:
		facts.State = rotation.KeyringExposed
	default:
		facts.State = rotation.KeyringDamaged
	}
	if err != nil {
		if keys, err = secret.NewKeyring(); err != nil {
			return nil, facts, err
		}
	}
	s := store.New(pool, keys)
	bound, opens, err := s.OpensCanary(ctx)
	if err != nil {
		return nil, facts, err
	}
	facts.Sealed = bound
	if bound && !opens && facts.State == rotation.KeyringFine {
		facts.State = rotation.KeyringForeign
	}
	facts.CopyAt, err = s.KeyringCopyAt(ctx)
	return s, facts, err
}

// apps examines each app and, knowing whether a rotation is due, the keyring. It
// tells how far the platform's clock is off, nil if nobody answered.
func (e *examiner) apps(ctx context.Context, s *store.Store, keyring rotation.KeyringFacts) (platform *time.Duration, err error) {
	apps, err := s.Apps(ctx)
	if err != nil {
		return nil, err
	}
	if len(apps) == 0 {
		e.nothing("no app is set in this database")
	} else if e.appName != "" {
		apps = slices.DeleteFunc(apps, func(a store.App) bool { return a.Name != e.appName })
		if len(apps) == 0 {
			e.mistake = exitWith(exitUsage, fmt.Errorf("check: there is no app %s", e.appName), "`rotator app list` shows their names")
			return nil, nil
		}
	}
	words, err := e.appWords(ctx, s, "")
	if err != nil {
		return nil, err
	}
	due := false
	for _, a := range apps {
		e.waiting("counting the shops of app %s", a.Name)
		policy := a.Settings.Policy()
		policy.StalledAfter = e.flags.stalledAfter
		facts, err := appFacts(ctx, s, a)
		if err != nil {
			return platform, err
		}
		looked := checkedApp{App: a.Name, Sampled: map[string]int{}}
		if facts.Run != nil {
			looked.Run, looked.Phase, looked.Held = facts.Run.RunID, facts.Run.Phase, facts.Run.Held
		}
		if keyring.State == rotation.KeyringFine && !outage(facts.Run) {
			off, err := e.sample(ctx, s, a, &facts)
			if err != nil {
				return platform, err
			}
			if off != nil {
				platform = off
			}
		}
		for class, n := range facts.Sampled {
			word := string(class)
			if word == "" {
				word = "alive"
			}
			looked.Sampled[word] = n
		}
		due = due || facts.RotationDue(policy)
		e.result.Apps = append(e.result.Apps, looked)
		words.app = a.Name
		for _, f := range rotation.Examine(facts, policy) {
			f.Words, f.Next = words.text(f.Words), words.command(noted(f.Next))
			e.found(f)
		}
	}
	e.found(rotation.ExamineKeyring(keyring, due)...)
	return platform, nil
}

// outage: after a leak the old secret is revoked first, and tokens are dead
// until their shop is proven.
func outage(run *rotation.Snapshot) bool {
	return run != nil && run.Mode == rotation.ModeBreach && run.Phase.Before(rotation.PhaseProven)
}

// recently is what a run's speed is taken over.
const recently = time.Minute

func appFacts(ctx context.Context, s *store.Store, a store.App) (rotation.AppFacts, error) {
	f := rotation.AppFacts{App: a.Name, Sampled: map[rotation.Class]int{}}
	var err error
	if f.Now, err = s.Now(ctx); err != nil {
		return f, err
	}
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil {
		return f, err
	}
	for _, v := range secrets {
		switch {
		case v.State == store.SecretActive:
			f.SecretAt = v.CreatedAt
		case v.State == store.SecretRetiring && v.RetiringAt != nil:
			f.RetiringAt = *v.RetiringAt
		}
	}
	if f.Untold, err = s.Untold(ctx, a.ID); err != nil {
		return f, err
	}
	runs, err := s.Runs(ctx, a.ID)
	if err != nil {
		return f, err
	}
	for _, run := range runs {
		if !run.Open() {
			continue
		}
		snap, _, err := s.Snapshot(ctx, run.ID, store.Counted)
		if err != nil {
			return f, err
		}
		f.Run = &snap
		f.ProgressAt, f.Rate, err = s.Progress(ctx, run.ID, recently)
		return f, err
	}
	return f, nil
}

// sample tries tokens drawn by chance, and tells how far the platform's clock is
// off.
func (e *examiner) sample(ctx context.Context, s *store.Store, a store.App, f *rotation.AppFacts) (*time.Duration, error) {
	if e.flags.sample == 0 {
		return nil, nil
	}
	client, err := e.client(a)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdle()
	tokens, err := s.RandomTokens(ctx, a.ID, e.flags.sample)
	if err != nil {
		return nil, err
	}
	e.waiting("asking %s of app %s", plural(len(tokens), "shop"), a.Name)
	var mu sync.Mutex
	var clocks clockReadings
	var g errgroup.Group
	g.SetLimit(4)
	for _, t := range tokens {
		if t.Broken {
			f.Unsealed = append(f.Unsealed, t.Domain)
			continue
		}
		g.Go(func() error {
			asked := time.Now()
			identity, err := client.Identity(ctx, t.Domain, t.Access)
			answered, meta, class := time.Now(), identity.Meta, rotation.Class("")
			var he *haravan.Error
			if errors.As(err, &he) {
				meta, class = he.Meta, he.Class
			}
			mu.Lock()
			defer mu.Unlock()
			clocks.readPlatform(asked, answered, meta.Date)
			f.Sampled[class]++
			if class == rotation.ClassUnauthorized || class == rotation.ClassWrongShop {
				f.Refused = append(f.Refused, t.Domain)
			}
			return ctx.Err()
		})
	}
	err = g.Wait()
	return clocks.platform, err
}
