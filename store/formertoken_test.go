package store_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// Whatever befell a shop in the run, what it gets back is the living token that it had
// last of the version before.
func TestTheFormerTokenAfterASweep(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		befalls func(t *testing.T, r *rig, domain string)
		want    string
	}{
		"an install, exchanged": {func(t *testing.T, r *rig, domain string) {
			r.replace(t, domain, "of-the-install", r.run.OldSecretID)
			r.prove(t, r.again(t))
		}, "of-the-install"},
		"an install, of an item from before its generations were noted": {func(t *testing.T, r *rig, domain string) {
			exec(t, r.DB, "update rotator.items set old_generation = null")
			r.replace(t, domain, "of-the-install", r.run.OldSecretID)
			r.prove(t, r.again(t))
		}, "of-the-install"},
		"exchanged again": {func(t *testing.T, r *rig, _ string) { r.prove(t, r.again(t)) }, "token-0"},
		"proven where it is, twice": {func(t *testing.T, r *rig, _ string) {
			r.write(t, store.Written, store.Outcome{Claim: r.again(t), State: rotation.ItemProven})
			r.late(t)
			r.write(t, store.Written, store.Outcome{Claim: r.again(t), State: rotation.ItemProven})
		}, "token-0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, claims := claimAll(t, 2)
			domain := claims[0].Domain
			before := claims[0].Current.Reveal()
			if tt.want == "token-0" {
				tt.want = before
			}
			r.prove(t, claims...)
			r.late(t)
			tt.befalls(t, r, domain)
			r.cancel(t)
			exec(t, r.DB, "update rotator.secrets set state = case version when 1 then 'retiring' else 'active' end, retiring_at = now(), activated_at = now()")
			l, err := r.LoseSecret(t.Context(), storetest.Actor, r.app, 2, true)
			if err != nil || l != (store.Lost{Active: 1, TakenBack: 2}) {
				t.Error(l, err)
			}
			if got := r.token(t, domain); got != tt.want {
				t.Errorf("the shop has %s, want %s", got, tt.want)
			}
		})
	}
}

// A second run found the first one's token dead, and replaced it.
func TestTheFormerTokenOfTwoRuns(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	domain, before := claims[0].Domain, claims[0].Current.Reveal()
	r.prove(t, claims...)
	_, claims = r.next(t, oneWave)
	r.write(t, store.Written, store.Outcome{Claim: claims[1], State: rotation.ItemProven})
	r.write(t, store.Written, exchanged(claims[0]))
	second := r.proven(claims[0])
	second.OldSecretID = r.run.NewSecretID
	r.write(t, store.Written, second)
	exec(t, r.DB, "update rotator.runs set check_stride = 1")
	checks := r.checks(t)
	if len(checks) != 2 || checks[0].Old.Reveal() != before {
		t.Errorf("the check does not ask with the former token: %d shops", len(checks))
	}
	r.cancel(t)
	exec(t, r.DB, "update rotator.secrets set state = case version when 1 then 'retiring' else 'active' end, retiring_at = now(), activated_at = now()")
	if l, err := r.LoseSecret(t.Context(), storetest.Actor, r.app, 2, true); err != nil || l != (store.Lost{Active: 1, TakenBack: 2}) {
		t.Error(l, err)
	}
	if got := r.token(t, domain); got != before {
		t.Errorf("the shop has %s, want %s", got, before)
	}
}

// late has an earlier run's call make a token for the first shop, which is due again.
func (r *rig) late(t *testing.T) {
	t.Helper()
	exec(t, r.DB, "update rotator.items set late_exchange_at = now() where run_id = $1 and position = 1", r.run.ID)
	r.sweep(t)
}
