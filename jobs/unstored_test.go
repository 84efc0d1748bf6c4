package jobs

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Tokens that are kept do not hide that no proof is, the run is closed before any
// other shop is told, and what was refused before a hold counts no more after it.
func TestRefusalsInARowHoldTheRun(t *testing.T) {
	t.Parallel()
	type told struct {
		state rotation.ItemState
		store.Verdict
	}
	refused := func(s rotation.ItemState) told { return told{s, store.SetAside} }
	written := func(s rotation.ItemState) told { return told{s, store.Written} }
	const proof, token, skip, again = rotation.ItemProven, rotation.ItemExchanged, rotation.ItemSkipped, rotation.ItemRetrying
	for name, tt := range map[string]struct {
		between []told
		of      rotation.ItemState
		tries   int
		held    bool
	}{
		"proofs":                             {nil, proof, 1, true},
		"proofs while tokens are kept":       {[]told{written(token), written(again), refused(token)}, proof, 1, true},
		"proofs, and one is kept":            {[]told{written(proof)}, proof, 1, false},
		"tokens while proofs are kept":       {[]told{written(proof)}, token, 1, true},
		"tokens, and one is kept":            {[]told{written(token)}, token, 1, false},
		"gone shops among those that live":   {[]told{written(proof)}, skip, 1, false},
		"gone shops, and nothing in between": {nil, skip, 1, true},
		"one shop that is tried again":       {nil, token, 100, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			control := store.Control{RunID: 1, Phase: rotation.PhaseExchanging}
			r := &runState{id: 1, control: &control, breaker: rotation.NewBreaker(), found: make(chan struct{})}
			domain := 0
			hear := func(o told) (held bool) {
				domain++
				a := &attempt{run: r, claim: store.Claim{Domain: fmt.Sprintf("shop-%d.myharavan.com", domain/tt.tries)}}
				if _, failed := a.notStored(o.state, o.Verdict); failed != (o.Verdict == store.SetAside) {
					t.Errorf("%s, %v: failed is %v", o.state, o.Verdict, failed)
				}
				return r.mayCall(false, 0) != nil
			}
			for i := range unstoredBelieved {
				if held := hear(refused(tt.of)); held != (tt.held && i == unstoredBelieved-1) {
					t.Fatalf("held is %v after %d of them", held, i+1)
				}
				if i == unstoredBelieved-2 {
					for _, o := range tt.between {
						hear(o)
					}
				}
			}
			if !tt.held {
				return
			}
			r.unsaved, r.savedAt = nil, time.Now()
			r.update(control, r.savedAt.Add(time.Second), r.savedAt.Add(time.Second))
			if r.mayCall(false, 0) != nil || hear(refused(tt.of)) {
				t.Error("it was resumed, and one more holds it")
			}
		})
	}
}

// What PostgreSQL refuses of a run keeps that run's exchanges waiting, until it took
// one of the kind, is known to be alone in that, or takes too long to be found.
func TestWhatARefusalPutsInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d doubts
		of := func(run int64, states ...rotation.ItemState) (group []store.Outcome) {
			for _, s := range states {
				group = append(group, store.Outcome{Claim: store.Claim{RunID: run}, State: s})
			}
			return group
		}
		is := func(want bool, run int64, when string) {
			t.Helper()
			if d.about(run) != want {
				t.Errorf("%s: %v", when, !want)
			}
		}
		const token, proof = rotation.ItemExchanged, rotation.ItemProven
		is(false, 1, "at first")
		d.begin(of(1, token, proof, rotation.ItemParked))
		is(true, 1, "when a group was refused")
		is(false, 2, "another run")
		d.taken(of(1, token), []store.Verdict{store.Written})
		is(true, 1, "when a token was taken")
		d.taken(of(2, proof), []store.Verdict{store.Written})
		d.taken(of(1, proof), []store.Verdict{store.Fenced})
		is(true, 1, "when no proof of it was")
		d.taken(of(1, proof), []store.Verdict{store.Written})
		is(false, 1, "when one was")
		d.end()

		d.begin(of(1, proof))
		d.begin(of(1, token))
		d.end()
		is(true, 1, "while another group is looked through")
		d.end()
		is(false, 1, "when it is known what was refused")

		d.begin(of(1, rotation.ItemSkipped))
		is(false, 1, "what makes no token")
		d.end()

		d.begin(of(1, token))
		time.Sleep(doubtPatience)
		is(false, 1, "when it takes long")
		d.begin(of(1, token))
		is(false, 1, "when others join it")
		d.end()
		d.end()
		d.begin(of(1, token))
		is(true, 1, "the next time")
	})
}
