package main

import (
	"strings"
	"testing"
)

// TestWordsFromAnotherTerminal: a terminal in Latin-1 must not keep a run from
// being paused, or a step from being confirmed.
func TestWordsFromAnotherTerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
	r.ok("first", "secret", "add")
	r.ok("second", "secret", "add")
	r.ok("", "rotation", "start")
	if got := r.ok("", "rotation", "pause", "--reason", "caf\xe9"); !strings.Contains(got.stdout, "paused: caf\ufffd") {
		t.Errorf("pause: %s", got.stdout)
	}
	r.ok("", "rotation", "resume")
	r.ok("", "rotation", "confirm", "webhooks_dual", "--note", "caf\xe9")
	if got := r.ok("", "rotation", "report", "--timeline"); !strings.Contains(got.stdout, "webhooks_dual is confirmed: caf\ufffd") {
		t.Errorf("timeline: %s", got.stdout)
	}
}
