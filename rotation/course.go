package rotation

import "slices"

// Driver says who takes a transition.
type Driver string

const (
	// DriverHuman transitions are taken by `confirm` or `rotation arm`.
	DriverHuman Driver = "human"
	// DriverEngine transitions are taken by a worker once the gate is met.
	DriverEngine Driver = "engine"
)

// Transition is one allowed move between phases. The gate of From must be met
// for it, unless it leads back.
type Transition struct {
	From, To Phase
	Driver   Driver
	// Irreversible transitions ask for the app's name (--confirm APP).
	Irreversible bool
}

// Course is the whole table of moves for one kind and mode of run, in order.
type Course []Transition

// planned follows the six steps of Haravan, API Credential Rotation.
var planned = Course{
	{From: PhasePrepared, To: PhaseWebhooksDual, Driver: DriverHuman},
	{From: PhaseWebhooksDual, To: PhaseOAuthSwitched, Driver: DriverHuman},
	{From: PhaseOAuthSwitched, To: PhaseArmed, Driver: DriverHuman},
	{From: PhaseArmed, To: PhaseExchanging, Driver: DriverEngine},
	{From: PhaseExchanging, To: PhaseProven, Driver: DriverEngine},
	{From: PhaseProven, To: PhaseRevoked, Driver: DriverHuman, Irreversible: true},
	// A shop that came with a token of the old secret takes the proof back.
	{From: PhaseProven, To: PhaseExchanging, Driver: DriverEngine},
	{From: PhaseRevoked, To: PhaseWebhooksSingle, Driver: DriverHuman},
	{From: PhaseWebhooksSingle, To: PhaseClosed, Driver: DriverHuman, Irreversible: true},
}

// migration follows Migrating a Haravan App from Legacy to OAuth Authentication.
// There is no way back once the panel is switched.
var migration = Course{
	{From: PhaseDeriving, To: PhaseDerived, Driver: DriverEngine},
	{From: PhaseDerived, To: PhaseChecked, Driver: DriverHuman},
	{From: PhaseChecked, To: PhaseCutover, Driver: DriverHuman, Irreversible: true},
	{From: PhaseCutover, To: PhaseScrubbed, Driver: DriverHuman, Irreversible: true},
	{From: PhaseScrubbed, To: PhaseClosed, Driver: DriverHuman},
}

// courses are all that exist.
var courses = map[Kind]map[Mode]Course{
	KindRotation:       {ModePlanned: planned, ModeBreach: breach},
	KindTokenMigration: {ModePlanned: migration},
}

// CourseOf returns the course of a run, nil for a kind and mode that no run has.
func CourseOf(k Kind, m Mode) Course { return courses[k][m] }

// First is the phase that a run starts in.
func (c Course) First() Phase { return c[0].From }

// Phases lists the course's phases in their order.
func (c Course) Phases() []Phase {
	phases := []Phase{c.First()}
	for _, t := range c {
		if t.From.Before(t.To) {
			phases = append(phases, t.To)
		}
	}
	return phases
}

// Forward returns the way forward out of p.
func (c Course) Forward(p Phase) (Transition, bool) {
	i := slices.IndexFunc(c, func(t Transition) bool { return t.From == p && p.Before(t.To) })
	if i < 0 {
		return Transition{}, false
	}
	return c[i], true
}

// Course is the one that the snapshot's run follows.
func (s Snapshot) Course() Course { return CourseOf(s.Kind, s.Mode) }
