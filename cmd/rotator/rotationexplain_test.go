package main

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// TestAThrottledShopIsRetriedByItsOwnNoun: the verbs of a rotation are refused
// on a token migration, and the other way round.
func TestAThrottledShopIsRetriedByItsOwnNoun(t *testing.T) {
	t.Parallel()
	item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemRetrying, Class: rotation.ClassRateLimited}
	for _, k := range []rotation.Kind{rotation.KindRotation, rotation.KindTokenMigration} {
		_, next := explainItem(item, runStatus{Kind: k})
		if want := "`rotator " + k.Noun() + " retry --shop a.myharavan.com --ignore-cooldown`"; !strings.Contains(next.Why, want) {
			t.Errorf("%s: %q does not say %s", k, next.Why, want)
		}
	}
}

// What no run does any more is not promised, and no command is named that is
// refused because the run is over.
func TestAShopOfACancelledRunWaitsForNothing(t *testing.T) {
	t.Parallel()
	over := rotation.Step{Why: "the run was cancelled"}
	for _, state := range rotation.ItemStates {
		_, next := explainItem(store.ItemInfo{Domain: "a.myharavan.com", State: state}, runStatus{State: runCancelled, Kind: rotation.KindRotation, Next: over})
		settled := state == rotation.ItemProven || state == rotation.ItemSkipped || state == rotation.ItemWaived
		if next.Command != "" || (next == over) == settled {
			t.Errorf("%s: %+v", state, next)
		}
	}
}

// A shop that thawed, or that a wrong host took for gone, needs no new install before
// the revoke. One that an operator left out is not for retry.
func TestASkippedShopCanBeTriedAgainBeforeTheRevoke(t *testing.T) {
	t.Parallel()
	for phase, want := range map[rotation.Phase]bool{
		rotation.PhaseExchanging: true, rotation.PhaseProven: true, rotation.PhaseRevoked: false, rotation.PhaseClosed: false,
	} {
		item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemSkipped, Class: rotation.ClassFrozen}
		st := runStatus{State: runOpen, Kind: rotation.KindRotation, Phase: phase}
		if phase == rotation.PhaseClosed {
			st.State = runClosed
		}
		if _, next := explainItem(item, st); strings.Contains(next.Why, "`rotator rotation retry a.myharavan.com`") != want {
			t.Errorf("%s: %q", phase, next.Why)
		}
		item.Class = ""
		if _, next := explainItem(item, st); strings.Contains(next.Why, "retry") {
			t.Errorf("%s, nothing was asked: %q", phase, next.Why)
		}
	}
}

// A shop is unknown also where nothing was sent for it that could be lost: a sweep made
// it due again, or its token was replaced meanwhile.
func TestALostAnswerIsToldOnlyWhereOneMayBeLost(t *testing.T) {
	t.Parallel()
	const lost = "answer was lost"
	for name, tt := range map[string]struct {
		kind  rotation.Kind
		acted bool
		want  bool
	}{
		"sent, no answer":                 {rotation.KindRotation, true, true},
		"settled before, looked at again": {rotation.KindRotation, false, false},
		"a migration exchanges nothing":   {rotation.KindTokenMigration, true, false},
	} {
		item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemUnknown, Acted: tt.acted}
		for _, state := range []runState{runOpen, runCancelled} {
			words, _ := explainItem(item, runStatus{Kind: tt.kind, State: state, Phase: rotation.PhaseExchanging})
			if strings.Contains(words, lost) != tt.want || !tt.want && strings.Contains(words, "exchanged") {
				t.Errorf("%s, run %s: %q", name, state, words)
			}
		}
	}
}

func TestADerivedTokenIsInUseAfterTheCutover(t *testing.T) {
	t.Parallel()
	item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemExchanged}
	for phase, unused := range map[rotation.Phase]bool{rotation.PhaseDerived: true, rotation.PhaseChecked: true, rotation.PhaseCutover: false} {
		words, _ := explainItem(item, runStatus{Kind: rotation.KindTokenMigration, Phase: phase, State: runOpen})
		if strings.Contains(words, "nothing uses it yet") != unused {
			t.Errorf("%s: %q", phase, words)
		}
	}
}

// A shop that nobody has tried waits for the step that the run waits for.
func TestAShopWaitsForWhomTheRunWaitsFor(t *testing.T) {
	t.Parallel()
	next := rotation.Step{Command: "rotator rotation arm", Why: "create a refresh token", Human: true}
	st := runStatus{Kind: rotation.KindRotation, Phase: rotation.PhaseOAuthSwitched, State: runOpen, Next: next}
	if _, got := explainItem(store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemPending}, st); got != next {
		t.Errorf("next %+v", got)
	}
	st.Next = rotation.Step{Why: "working: 3 of 10 shops settled"}
	if _, got := explainItem(store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemPending}, st); got.Command != "" || !strings.Contains(got.Why, "the run takes care of it") {
		t.Errorf("next %+v", got)
	}
}

// The revoke is confirmed once more in its own phase only.
func TestAnOldTokenThatAnswersLateIsNotForConfirm(t *testing.T) {
	t.Parallel()
	no, yes := false, true
	item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemProven, OldDead: &no, NewAlive: &yes}
	for phase, want := range map[rotation.Phase]string{
		rotation.PhaseRevoked:        "rotator rotation confirm revoked --confirm main",
		rotation.PhaseWebhooksSingle: "rotator rotation waive a.myharavan.com --reason TEXT",
		rotation.PhaseClosed:         "",
	} {
		st := runStatus{App: "main", Kind: rotation.KindRotation, Phase: phase, State: runOpen}
		if phase == rotation.PhaseClosed {
			st.State = runClosed
		}
		if words, next := explainItem(item, st); next.Command != want || next.Human != (want != "") || !strings.Contains(words, "still answer") {
			t.Errorf("%s: %q, next %+v", phase, words, next)
		}
	}
}

// After the revoke a run takes no shop in, whatever works.
func TestAShopThatComesAfterTheRevokeIsOfTheNextRun(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 3})
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	must(t, discard(sim, 1))
	r.ok("", "rotation", "confirm", "revoked", "--note", "n", "--confirm", "main")
	r.ok("domain,access_token\nlate,a-token-of-the-new-secret\n", "shop", "import", "-")
	got := r.exits(exitFailed, "", "rotation", "explain", "late")
	if !strings.Contains(got.stderr, "is stored, but not in run 1") || !strings.Contains(got.stderr, "the next one takes it in") || strings.Contains(got.stderr, "rotator worker") {
		t.Errorf("of a shop that came after the revoke: %s", got.stderr)
	}
}
