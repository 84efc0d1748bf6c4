package main

import (
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
