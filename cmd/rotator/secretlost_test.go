package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// says wants words in what a command printed.
func (r *rig) says(got result, want ...string) {
	r.t.Helper()
	for _, w := range want {
		if !strings.Contains(got.stdout+got.stderr, w) {
			r.t.Errorf("no word of %q:\n%s%s", w, got.stdout, got.stderr)
		}
	}
}

// newLossFleet is newFleet that wants no secret and no token to be printed.
func newLossFleet(t *testing.T, o haravansim.Options) (*rig, *haravansim.Server) {
	t.Helper()
	r, sim := newFleet(t, o)
	r.said = &strings.Builder{}
	var values []string
	note := func() {
		for _, s := range sim.Secrets() {
			values = append(values, s.Value)
		}
		for s := range sim.Shops {
			values = append(values, s.AccessToken)
		}
	}
	note()
	t.Cleanup(func() {
		note()
		if found := plant(values...).in(r.said.String()); found != "" || r.said.Len() == 0 {
			t.Errorf("%q was shown, of %d bytes", found, r.said.Len())
		}
	})
	return r, sim
}

// anotherSecret creates a secret at the platform and stores it.
func (r *rig) anotherSecret(sim *haravansim.Server) {
	r.t.Helper()
	fresh, err := sim.CreateSecret()
	must(r.t, err)
	r.ok(fresh.Value, "secret", "add")
}

// half has a first run exchange some of 20 shops, and be cancelled.
func (r *rig) half(sim *haravansim.Server) {
	r.t.Helper()
	var left []string
	for s := range sim.Shops {
		if len(left) < 12 {
			left = append(left, s.Domain)
			r.ok("", "shop", "exclude", s.Domain, "--reason", "later")
		}
	}
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	r.ok("", "rotation", "cancel", "--confirm", "main")
	for _, domain := range left {
		r.ok("", "shop", "exclude", domain, "--undo")
	}
}

// goesOnToAnother rotates from the first secret to one that nobody has lost.
func (r *rig) goesOnToAnother(sim *haravansim.Server) {
	r.t.Helper()
	r.anotherSecret(sim)
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	r.revokesAndCloses(sim, 1)
}

// revokesAndCloses ends a run that is proven, of the secret that is dead then.
func (r *rig) revokesAndCloses(sim *haravansim.Server, old int) {
	r.t.Helper()
	must(r.t, discard(sim, old))
	r.ok("", "rotation", "confirm", "revoked", "--note", "n", "--confirm", "main")
	r.closes(sim)
}

// closes ends a run whose old secret is dead, and wants every shop's token to live.
func (r *rig) closes(sim *haravansim.Server) {
	r.t.Helper()
	r.exits(exitWaiting, "", "worker", "--once")
	r.ok("", "rotation", "confirm", "webhooks_single", "--note", "n")
	r.ok("", "rotation", "confirm", "closed", "--confirm", "main")
	alive := map[string]bool{}
	for s := range sim.Shops {
		alive[s.Domain+","+s.AccessToken] = true
	}
	live := 0
	for _, line := range strings.Split(r.ok("", "shop", "export").stdout, "\n") {
		if f := strings.Split(line, ","); len(f) > 1 && alive[f[0]+","+f[1]] {
			live++
		}
	}
	if live != len(alive) {
		r.t.Errorf("%d of %d stored tokens live", live, len(alive))
	}
}

// The new secret is revoked where the old one was to be: nothing may lead to the
// revoke of the other one, and something must lead out.
func TestTheWrongSecretIsRevoked(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"before it is said": true, "after it is said": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, sim := newLossFleet(t, haravansim.Options{Shops: 12})
			former := map[string]string{}
			for s := range sim.Shops {
				former[s.Domain] = s.AccessToken
			}
			r.toArmed(sim)
			r.exits(exitWaiting, "", "worker", "--once")
			confirm := []string{"rotation", "confirm", "revoked", "--note", "n", "--confirm", "main"}
			if before {
				must(t, discard(sim, 2))
				r.says(r.exits(exitRefused, "", confirm...), "not one of 12 shops asked accepts its new token", "revoke nothing more", "`rotator rotation cancel --confirm main`", "`rotator secret discard 2 --lost --confirm main`")
			} else {
				r.ok("", confirm...)
				r.exits(exitWaiting, "", "worker", "--once") // nothing is revoked yet
				must(t, discard(sim, 2))
				r.says(r.exits(exitWaiting, "", "rotation", "next"), "if it shows that another secret was revoked instead, revoke nothing more; then say so again")
				r.says(r.ok("", confirm...), "warning: not one of 12 shops asked accepts its new token, and 12 accept their former one: revoke nothing more")
				r.exits(exitExceptions, "", "worker", "--once")
				for _, look := range [][]string{{"check"}, {"rotation", "report"}, {"rotation", "status"}, {"rotation", "explain", "shop-000001"}, {"rotation", "report", "--json"}, {"rotation", "report", "--exceptions"}} {
					got := r.run("", look...)
					if len(look) == 1 || look[len(look)-1][0] != '-' { // the others are for programs
						r.says(got, "evoke nothing")
					}
					if all := got.stdout + got.stderr; strings.Contains(all, "revoke the old secret") || strings.Contains(all, "re-install") || strings.Contains(all, "oauth/authorize") {
						t.Errorf("rotator %v leads to the revoke of the other secret, or to a re-install:\n%s", look, all)
					}
				}
				r.says(r.exits(exitWaiting, "", "rotation", "next"), "12 new tokens are dead and 12 old ones answer: the new secret, version 2, was revoked instead of the old one", "revoke nothing more", "rotator rotation cancel --confirm main")
			}
			r.ok("", "rotation", "cancel", "--confirm", "main")
			if !before {
				r.says(r.exits(exitWaiting, "", "rotation", "next"), "next:   rotator secret discard 2 --lost --confirm main", "revoke nothing more")
				r.says(r.exits(exitRefused, "", "rotation", "start"), "run 1 was cancelled because version 2 was revoked instead of version 1", "`rotator secret discard 2 --lost --confirm main`")
			}
			r.says(r.ok("", "rotation", "plan", "--breach", "--assume-latency", "1s"), "warning: not one of 12 shops asked accepts its token of version 2", "`rotator secret discard 2 --lost --confirm main`")
			r.says(r.exits(exitRefused, "", "rotation", "start", "--breach", "--confirm", "main"), "not one of 12 shops asked accepts its token of version 2, to which the run would go, and 5 accept one of version 1", "`rotator secret discard 2 --lost --confirm main`")
			r.says(r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main"), "version 1", "12 shops")
			list := r.ok("", "shop", "export").stdout
			for shop, token := range former {
				if !strings.Contains(list, shop+","+token) {
					t.Errorf("%s has not got its former token again", shop)
				}
			}
			r.goesOnToAnother(sim)
			r.ok("", "journal", "verify")
		})
	}
}

// A run was cancelled half-way, and the secret that it went to has leaked.
func TestTheNewSecretOfACancelledRunLeaks(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 20})
	r.half(sim)
	must(t, discard(sim, 2))
	r.anotherSecret(sim)
	r.says(r.exits(exitRefused, "", "rotation", "start"), "if version 2 is the one that has leaked or is dead, revoke it and not version 1, and say so with `rotator secret discard 2 --lost --confirm main`")
	r.says(r.exits(exitRefused, "", "secret", "discard", "2", "--confirm", "main"), "`rotator secret discard 2 --lost --confirm main`")
	r.says(r.exits(exitRefused, "", "secret", "discard", "1", "--lost", "--confirm", "main"), "--lost is for the version that is in use")
	r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main")
	r.says(r.exits(exitRefused, "", "secret", "discard", "1", "--lost", "--confirm", "main"), "no other version lives")
	r.toArmed(sim)
	r.says(r.exits(exitRefused, "", "secret", "discard", "3", "--lost", "--confirm", "main"), "run 2, which is open, works with it")
	r.exits(exitWaiting, "", "worker", "--once")
	r.revokesAndCloses(sim, 1)
}

// A breach run goes to a secret of which tokens were made, and which is dead, too.
func TestTheNewSecretOfABreachIsLost(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 20})
	r.half(sim)
	r.ok("", "rotation", "start", "--breach", "--confirm", "main")
	must(t, discard(sim, 1))
	must(t, discard(sim, 2))
	r.ok("", "rotation", "confirm", "contained", "--note", "n", "--confirm", "main")
	r.ok("", "rotation", "confirm", "oauth_switched", "--note", "n")
	r.ok(sim.CreateRefreshToken().Value, "rotation", "arm", "--no-plan")
	r.exits(exitWaiting, "", "worker", "--once")
	r.says(r.exits(exitWaiting, "", "rotation", "next"), "rotator rotation use-secret --lost --confirm main", "tokens were made with the new secret, version 2, so it was right")
	r.anotherSecret(sim)
	r.says(r.exits(exitRefused, "", "rotation", "use-secret", "--confirm", "main"), "say so with --lost")
	r.ok("", "rotation", "use-secret", "--lost", "--confirm", "main")
	r.ok("", "rotation", "resume")
	r.exits(exitWaiting, "", "worker", "--once")
	r.says(r.ok("", "rotation", "report", "--timeline"), "the new secret, which is lost, is replaced by version 3")
	r.says(r.exits(exitRefused, "", "secret", "discard", "3", "--lost", "--confirm", "main"), "has made every shop's token with it", "`rotator rotation start --breach`")
	r.says(r.exits(exitRefused, "", "rotation", "use-secret", "--lost", "--confirm", "main"), "`rotator rotation start --breach`")
	r.closes(sim)
}

// A planned run's new secret dies while shops are exchanged.
func TestTheNewSecretOfAPlannedRunIsLost(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 20})
	r.half(sim)
	must(t, discard(sim, 2))
	r.toArmed(sim)
	r.run("", "worker", "--once")
	r.says(r.exits(exitWaiting, "", "rotation", "next"), "rotator rotation cancel --confirm main", "`rotator secret discard 2 --lost --confirm main`")
	r.ok("", "rotation", "cancel", "--confirm", "main")
	r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main")
	r.goesOnToAnother(sim)
}

// Where each exchange kills the token before, there is nothing to go back to: the app
// keeps what lives until the lost secret is revoked.
func TestNoDeadTokenIsTakenBack(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 20, Knobs: haravansim.Knobs{OldTokens: "at_once"}})
	r.half(sim)
	list := r.ok("", "shop", "export").stdout
	r.says(r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main"), "warning: 5 shops asked still accept their token of version 2", "0 shops")
	if got := r.ok("", "shop", "export").stdout; got != list {
		t.Errorf("tokens became others:\n%s\n%s", list, got)
	}
	must(t, discard(sim, 2))
	r.goesOnToAnother(sim)
}

// Nothing is given up for good on no evidence.
func TestALostSecretIsKeptWhileNothingCanBeSeen(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 20})
	r.half(sim)
	platform := r.env[slices.IndexFunc(r.env, func(e string) bool { return strings.HasPrefix(e, "ROTATOR_API_URL=") })]
	r.env = append(r.env, "ROTATOR_API_URL=http://127.0.0.1:1")
	r.says(r.exits(exitRefused, "", "secret", "discard", "2", "--lost", "--confirm", "main"), "which tokens live cannot be seen", "`rotator doctor`")
	r.says(r.exits(exitRefused, "", "rotation", "start", "--breach", "--assume-latency", "1s", "--confirm", "main"), "whether tokens of version 2, to which the run would go, live cannot be seen")
	r.env = append(r.env, platform)
	must(t, discard(sim, 1)) // the wrong one: what is in use lives
	r.says(r.exits(exitRefused, "", "secret", "discard", "2", "--lost", "--confirm", "main"), "5 shops asked accept their token of it, and none accepts one of the version before")
	r.says(r.ok("", "secret", "list"), "2        active", "1        retiring")
}

// The shops that have a token of the version before are frozen: they tell nothing of
// the others, and would tell nothing for ever.
func TestFrozenShopsKeepNoLostSecret(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 20})
	before := map[string]string{}
	for s := range sim.Shops {
		before[s.Domain] = s.AccessToken
	}
	r.half(sim)
	for s := range sim.Shops {
		if s.AccessToken == before[s.Domain] {
			must(t, sim.Freeze(s.Domain))
		}
	}
	must(t, discard(sim, 2))
	r.says(r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main"), "8 shops: the former token is current again")
}

// A revoke is not believed while new tokens are dead and nobody knows of the others.
func TestNoRevokeIsBelievedWhileNothingCanBeSeen(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 3})
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	must(t, discard(sim, 2))
	for s := range sim.Shops {
		must(t, sim.Script(s.Domain, haravansim.OpIdentity, haravansim.FaultNone, haravansim.FaultServerText))
	}
	confirm := []string{"rotation", "confirm", "revoked", "--note", "n", "--confirm", "main"}
	r.says(r.exits(exitRefused, "", confirm...), "not one of 3 shops asked accepts its new token, and whether former ones live cannot be seen", "`rotator doctor`")
	r.says(r.exits(exitRefused, "", confirm...), "3 accept their former one")
	r.says(r.run("", "check"), "if the new one was instead, revoke nothing more", "rotator rotation cancel --confirm main")
	r.says(r.exits(exitWaiting, "", "rotation", "next"), "finds new tokens refused, revoke nothing more")
}
