package store_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A clock that is set back while a run works makes its shops look older than the run.
func TestWhatARunReplacedIsKnownWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	db, clock := storetest.Skewed(t)
	clock(3 * time.Minute)
	r := newRigIn(t, db, "shopbot", 4, oneWave)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	claims := r.claim(t, r.take(t, r.release(t, 1)[0]))
	clock(0)
	r.prove(t, claims...)
	r.enter(t, rotation.PhaseProven)
	var changed int
	count := func(shopfile.Row) error { changed++; return nil }
	if err := r.ExportChanged(t.Context(), r.app.ID, r.run.ID, count); err != nil {
		t.Fatal(err)
	}
	if load := r.snapshot(t, store.Counted).ToLoad; changed != 4 || load != 4 {
		t.Errorf("%d shops are exported and %d are to be loaded, want all 4", changed, load)
	}
}

// After its cancel nothing of a token migration may be left, and before it no token
// of its own be taken for an install's.
func TestWhatARunDerivedIsKnownWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 4)
	r.deriveAll(t)
	exec(t, r.DB, "update rotator.runs set created_at = now() + interval '3 minutes' where id = $1", r.run.ID) // it was set back
	if got := r.read(t); got.Updated != 0 {
		t.Errorf("a reading takes derived tokens for installs: %+v", got)
	}
	r.hold(t)
	if left, err := r.ClearDerivedRows(t.Context(), r.run); err != nil || left != 0 {
		t.Errorf("%d left, %v", left, err)
	}
	if got := r.oauth(t); got != "- - - -" {
		t.Errorf("after the cancel the app has %s", got)
	}
}
