package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A command that only looks migrates a private database, too, and the rotator of before
// refuses it from then on: that is said.
func TestThatAPrivateDatabaseIsMigratedIsSaid(t *testing.T) {
	t.Parallel()
	open := func(url string, older bool) string {
		pool, err := pgxpool.New(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if older {
			river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: migrations.Schema})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := river.Migrate(t.Context(), rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{MaxSteps: 1}); err != nil {
				t.Fatal(err)
			}
		}
		var stderr bytes.Buffer
		c := newCLI([]string{"ROTATOR_KEYRING=" + t.TempDir() + "/keyring.json", "ROTATOR_ACTOR=tester"}, nil, nil, &stderr)
		if _, err := c.storeOn(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		if _, err := migrations.Check(t.Context(), pool); err != nil {
			t.Error(err)
		}
		return stderr.String()
	}
	const word = "Migrated"
	if got := open(storetest.Migrated(t), true); !strings.HasPrefix(got, word+" the private database for this rotator: schema ") || strings.Count(got, "\n") != 1 {
		t.Errorf("of an older one it says %q", got)
	}
	if got := open(storetest.Migrated(t), false); strings.Contains(got, word) {
		t.Errorf("of one of now it says %q", got)
	}
	if got := open(storetest.Empty(t), false); strings.Contains(got, word) {
		t.Errorf("of a new one it says %q", got)
	}
}
