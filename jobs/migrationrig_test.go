package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// legacyRig is a fleet on legacy credentials, all of it unless o says otherwise.
func legacyRig(t *testing.T, o haravansim.Options) *rig {
	t.Helper()
	return legacyRigOn(t, storetest.New(t), o)
}

func legacyRigOn(t *testing.T, db *storetest.DB, o haravansim.Options) *rig {
	t.Helper()
	if o.Legacy == 0 {
		o.Legacy = o.Shops
	}
	r := appOn(t, db, "demo", o, 3*time.Minute)
	var rows []shopfile.Row
	for s := range r.sim.Shops {
		rows = append(rows, shopfile.Row{
			Domain: s.Domain, AccessToken: secret.New(s.AccessToken),
			LegacyToken: secret.New(s.LegacyToken), LegacyPassword: secret.New(s.LegacyPassword),
		})
	}
	r.list(rows...)
	return r
}

// list imports a list of shops as it is.
func (r *rig) list(rows ...shopfile.Row) {
	r.t.Helper()
	secrets, err := r.db.Secrets(r.ctx, r.app.ID)
	r.must(err)
	yield := func(yield func(shopfile.Row, error) bool) {
		for i, row := range rows {
			row.Line = i + 2
			if !yield(row, nil) {
				return
			}
		}
	}
	_, err = r.db.ImportShops(r.ctx, storetest.Actor, r.app, secrets[0].ID, yield, func(store.Findings) error { return nil })
	r.must(err)
}

func (r *rig) migrate(opt operate.MigrationOptions) {
	r.t.Helper()
	var err error
	r.run, err = r.op.StartMigration(r.ctx, r.app, opt)
	r.must(err)
}

// cutOver switches the app's panel and says so.
func (r *rig) cutOver() {
	r.t.Helper()
	r.sim.SwitchToOAuth()
	r.confirm(rotation.PhaseCutover)
}

func checked(s rotation.Snapshot) bool {
	return s.Phase == rotation.PhaseDerived && s.Migration.CheckDone > 0 && s.Migration.Checked()
}

func settled(s rotation.Snapshot) bool {
	return s.Phase == rotation.PhaseCutover && s.WalkDone && s.Counts.Open() == 0 && s.LateInstalls == 0
}

// derivedTokens checks that every legacy shop's current token is the one that
// follows from its legacy credential by the platform's own books, those of shops
// that are only closed for now included, and that no legacy credential is stored
// any more.
func (r *rig) derivedTokens() (n int) {
	r.t.Helper()
	for s := range r.sim.Shops {
		if s.LegacyToken == "" && s.LegacyPassword == "" || s.State == haravansim.StateUninstalled {
			continue
		}
		token, err := r.db.ShopToken(r.ctx, r.app.ID, s.Domain)
		if err != nil {
			r.t.Errorf("%s: %v", s.Domain, err)
			continue
		}
		if v := r.sim.TokenVersion(s.Domain, token.Reveal()); v != 1 {
			r.t.Errorf("%s (%s): its stored token is of secret %d", s.Domain, s.State, v)
		}
		n++
	}
	legacy, err := r.db.Legacy(r.ctx, r.app.ID)
	r.must(err)
	if legacy.Tokens+legacy.Passwords != 0 {
		r.t.Errorf("legacy credentials are left: %+v", legacy)
	}
	return n
}
