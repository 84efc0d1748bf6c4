package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	working, run, workers := situation()
	alone, paused, pausedRun := working, working, run
	alone.Workers = 0
	paused.Held, pausedRun.Held = rotation.HeldPaused, rotation.HeldPaused
	stuck := working
	stuck.Unwriting = stuck.Workers
	cancelled := run
	cancelled.CancelledAt = &noon
	for name, tt := range map[string]struct {
		st    runStatus
		alone time.Duration
		want  bool
	}{
		"working":                  {makeStatus(working, run, workers, 0), 0, false},
		"the worker may come back": {makeStatus(alone, run, nil, 0), watchPatience, false},
		"no worker came":           {makeStatus(alone, run, nil, 0), watchPatience + time.Second, true},
		"the database may too":     {makeStatus(stuck, run, workers, 0), watchPatience, false},
		"it takes no writes":       {makeStatus(stuck, run, workers, 0), watchPatience + time.Second, true},
		"a person's turn":          {makeStatus(paused, pausedRun, nil, 0), 0, true},
		"cancelled":                {makeStatus(alone, cancelled, nil, 0), 0, true},
	} {
		if got := tt.st.watched(tt.alone); got != tt.want {
			t.Errorf("%s: %v, want %v; next: %+v", name, got, tt.want, tt.st.Next)
		}
	}
	if st := makeStatus(alone, run, nil, 0); st.exitFor() != exitWaiting || st.Next.Command != workerCommand {
		t.Errorf("exit code %d, next: %+v", st.exitFor(), st.Next)
	}
}

func TestLastWordsOfAWatch(t *testing.T) {
	t.Parallel()
	snap, run, workers := situation()
	alone := snap
	alone.Workers = 0
	for name, tt := range map[string]struct {
		last runStatus
		want string
	}{
		"working":     {makeStatus(snap, run, workers, 0), "No longer watching; the run goes on without.\n"},
		"no worker":   {makeStatus(alone, run, nil, 0), "No longer watching; nothing moves: no worker is alive, run `rotator worker`.\n"},
		"nobody knew": {runStatus{}, "No longer watching.\n"},
	} {
		var stderr bytes.Buffer
		err := newCLI(nil, nil, nil, &stderr).stopWatching(tt.last)
		if got := stderr.String(); got != tt.want || exitCodeOf(err) != exitFailed {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
