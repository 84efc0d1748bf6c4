package main

import (
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// expectedOf is what a run of the app that is not started will be like. Its walk
// is over long before its hour begins.
func expectedOf(a store.App) operate.Expected {
	waves := rotation.DefaultWavePolicy
	if a.Settings.Waves != nil {
		waves = *a.Settings.Waves
	}
	return operate.Expected{Waves: &waves, Rate: a.Settings.Rate}
}

// expectedOfRun is what an open run still has before it.
func expectedOfRun(s rotation.Snapshot, run store.Run) operate.Expected {
	waves := s.WavePolicy
	e := operate.Expected{Waves: &waves, Unwalked: !s.WalkDone, Rate: run.Settings.Rate}
	if s.Phase != rotation.PhaseExchanging {
		return e
	}
	if rotation.InFullSwing(s.Waves) {
		e.Waves = nil
		return e
	}
	e.Begun = len(s.Waves) > 0 && s.Waves[0].Settled
	return e
}
