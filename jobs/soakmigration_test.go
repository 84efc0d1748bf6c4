package jobs_test

import (
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// tokenMigration takes a fleet on legacy credentials to its OAuth tokens.
func (s *soaked) tokenMigration(uint64) {
	s.sim.CreateTestApp()
	s.migrate(operate.MigrationOptions{CheckSample: -1, BatchSize: int64(20 + s.IntN(200)), InFlight: 16 + s.IntN(48)})
	s.harm("checked", func(snap rotation.Snapshot) bool { return snap.Held == rotation.HeldNot && checked(snap) })
	s.calm()
	s.waiveParked()
	s.confirm(rotation.PhaseChecked)
	s.cutOver()
	s.harm("settled", func(snap rotation.Snapshot) bool {
		return snap.Held == rotation.HeldNot && settled(snap) && snap.Counts.Parked <= len(s.gone)
	})
	s.calm()
	s.waiveParked()
	s.finish()
	s.derivedTokens()
	if n := s.sim.Counts().Minted; n > 0 {
		s.t.Errorf("%d tokens were minted", n)
	}
}

// calm ends every harm, and makes an end of connections that broke with them.
func (s *soaked) calm() {
	s.t.Helper()
	s.heal()
	s.db.Pool.Reset()
	for s.db.Pool.Ping(s.ctx) != nil {
		s.must(s.ctx.Err())
	}
}
