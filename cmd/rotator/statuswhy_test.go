package main

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestWhatToDoIsNotSaidBehindTheHold(t *testing.T) {
	t.Parallel()
	snap := rotation.Snapshot{
		Kind: rotation.KindRotation, Mode: rotation.ModePlanned, App: "main", Phase: rotation.PhaseExchanging,
		Held: rotation.HeldWindowExpired, HeldWhy: "the hour is over",
	}
	step := rotation.Next(snap)
	st := runStatus{Held: &snap.Held, HeldWhy: snap.HeldWhy, Next: step}
	const said = "held (window_expired): the hour is over; "
	if got := st.why(); got == "" || said+got != step.Why {
		t.Errorf("%q of %q", got, step.Why)
	}
	st.Held = nil
	if got := st.why(); got != step.Why {
		t.Errorf("of a run that is not held: %q", got)
	}
}

// A cancel voids the certificate, and no worker writes another.
func TestNoCertificateIsAwaitedOfACancelledRun(t *testing.T) {
	t.Parallel()
	proven := rotation.Snapshot{
		Kind: rotation.KindRotation, Phase: rotation.PhaseProven, App: "main", Workers: 1, WalkDone: true,
		Counts: rotation.Counts{Total: 2, Proven: 2},
	}
	for cancelled, want := range map[bool]string{false: "about to write the certificate", true: "both secrets must stay alive"} {
		proven.Cancelled = cancelled
		if next := nextStep(proven); !strings.Contains(next.Why, want) {
			t.Errorf("cancelled %t: %q, want %q", cancelled, next.Why, want)
		}
	}
}
