package jobs_test

import (
	"errors"
	"testing"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/store"
)

// A worker that could not start is not counted among those who share the calls.
func TestAWorkerThatCouldNotStartIsSignedOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 1})
	r.start(operate.StartOptions{})
	wrong := errors.New("no such host")
	e := jobs.New(jobs.Config{
		Store: r.db.Store, Log: r.log, Version: "test", Once: true,
		Client: func(store.App, store.RunSettings) (*haravan.Client, error) { return nil, wrong },
	})
	if err := e.Run(r.ctx); !errors.Is(err, wrong) {
		t.Fatalf("it ran: %v", err)
	}
	if live, err := r.db.Workers(r.ctx); err != nil || len(live) != 0 {
		t.Errorf("live workers: %+v, %v", live, err)
	}
}
