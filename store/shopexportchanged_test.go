package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
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
