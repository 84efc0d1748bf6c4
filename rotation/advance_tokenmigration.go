package rotation

// advanceMigration decides what the engine does next in a token migration.
// Deriving asks nobody, so its waves are released all at once; those of the
// cutover go one after the other, as in a rotation.
func advanceMigration(s Snapshot) []Action {
	switch s.Phase {
	case PhaseDeriving:
		if GateMet(Gate(s)) {
			return []Action{{Enter: PhaseDerived, Why: "every legacy token is derived or set aside"}}
		}
		return append(releaseAll(s), sweepLegacy(s)...)
	case PhaseDerived, PhaseChecked:
		return append(releaseAll(s), sweepLegacy(s)...)
	case PhaseCutover:
		actions := advanceWaves(s)
		if s.Counts.Open() == 0 && allReleased(s.Waves) {
			actions = append(actions, sweepLegacy(s)...)
		}
		return actions
	}
	return nil
}

func releaseAll(s Snapshot) []Action {
	var actions []Action
	for _, w := range s.Waves {
		if !w.Released {
			actions = append(actions, Action{Release: w.Number, Why: "wave " + w.Name + ": deriving asks nobody"})
		}
	}
	return actions
}

// sweepLegacy takes in what came late once nothing else is left to derive.
func sweepLegacy(s Snapshot) []Action {
	if !s.WalkDone || s.LateInstalls == 0 || underived(s) > 0 || !allReleased(s.Waves) {
		return nil
	}
	return []Action{{Sweep: true, Why: Counted(s.LateInstalls, "shop", "was", "were") + " given a legacy token since the walk"}}
}
