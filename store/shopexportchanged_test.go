package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestExportOfWhatARunChanged(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 4)
	changed := func(run int64) (domains []string) {
		t.Helper()
		err := r.ExportChanged(t.Context(), r.app.ID, run, func(row shopfile.Row) error {
			if want := r.token(t, row.Domain); row.AccessToken.Reveal() != want {
				t.Errorf("%s: %s, want %s", row.Domain, row.AccessToken.Reveal(), want)
			}
			domains = append(domains, row.Domain)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return domains
	}
	if got := changed(r.run.ID); got != nil {
		t.Errorf("before the first swap: %v", got)
	}
	r.prove(t, claims[1], claims[2])
	if got, want := changed(r.run.ID), []string{claims[1].Domain, claims[2].Domain}; !slices.Equal(got, want) {
		t.Errorf("changed %v, want %v", got, want)
	}
	// A token that came from outside since is none of the run's.
	r.replace(t, claims[1].Domain, "imported", 0)
	if got, want := changed(r.run.ID), []string{claims[2].Domain}; !slices.Equal(got, want) {
		t.Errorf("changed %v, want %v", got, want)
	}
	for _, wrong := range []struct{ app, run int64 }{{r.app.ID, 99}, {r.app.ID + 1, r.run.ID}} {
		if err := r.ExportChanged(t.Context(), wrong.app, wrong.run, nil); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// A worker of before the column swaps on while the schema is upgraded, and leaves
// the run of the token before.
func TestExportOfWhatAnOlderWorkerChanged(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	r.prove(t, claims...)
	exec(t, r.DB, "update rotator.runs set phase = 'closed', closed_at = now()")
	if _, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-the-third")); err != nil {
		t.Fatal(err)
	}
	r.run = r.Run(t, r.app, oneWave)
	exec(t, r.DB, "update rotator.shops set token_generation = token_generation + 1, rotated_at = now()")
	exec(t, r.DB, "update rotator.runs set phase = 'proven' where id = $1", r.run.ID)
	exported := 0
	if err := r.ExportChanged(t.Context(), r.app.ID, r.run.ID, func(shopfile.Row) error { exported++; return nil }); err != nil {
		t.Fatal(err)
	}
	if load := r.snapshot(t, store.Counted).ToLoad; exported != 2 || load != 2 {
		t.Errorf("%d shops are exported and %d are to be loaded, want both", exported, load)
	}
}

// Nobody exported it under the run that was cancelled.
func TestExportOfWhatTheStartOfARunAdopts(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	r.cancel(t)
	r.write(t, store.Written, store.Outcome{Claim: claims[0], State: rotation.ItemExchanged, New: secret.New("late")})
	r.run = r.Run(t, r.app, oneWave)
	exported := 0
	if err := r.ExportChanged(t.Context(), r.app.ID, r.run.ID, func(shopfile.Row) error { exported++; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := r.token(t, claims[0].Domain); got != "late" || exported != 1 {
		t.Errorf("%d shops are exported, of which the first has %s", exported, got)
	}
}
