package rotation

import (
	"fmt"
	"slices"
)

// migrationGate lists the conditions to leave a token migration's phase.
func migrationGate(s Snapshot) []Condition {
	switch s.Phase {
	case PhaseDeriving:
		return append([]Condition{
			condition("every stored shop is in the run", s.WalkDone, Plural(s.Counts.Total, "shop"),
				Plural(s.Counts.Total, "shop")+" so far; a worker must be running"),
			condition("tokens are derived", s.Counts.Exchanged > 0, fmt.Sprintf("%d are", s.Counts.Exchanged),
				fmt.Sprintf("none of %s: there is nothing to cut over to", Plural(s.Counts.Total, "shop"))),
		}, derivedConditions(s)...)
	case PhaseDerived:
		return append(settledConditions(s), checkConditions(s.Migration)...)
	case PhaseChecked:
		return append(settledConditions(s), attested(s, PhaseChecked))
	case PhaseCutover:
		return append([]Condition{attested(s, PhaseCutover)}, scrubConditions(s)...)
	case PhaseScrubbed:
		left, lack := s.Migration.LegacyLeft, notCounted
		if s.Migration.Counted {
			lack = Counted(left, "shop", "still has", "still have") + " one: confirm scrubbed once more"
		}
		return []Condition{
			attested(s, PhaseScrubbed),
			condition("no legacy credential is stored", s.Migration.Counted && left == 0, "none is", lack),
			condition("certificate written", s.Certificate, "in the journal and in `rotator tokenmigration report`", "not yet"),
		}
	}
	return nil
}

// derivedConditions tell that the engine has nothing left to derive.
func derivedConditions(s Snapshot) []Condition {
	return []Condition{
		condition("every shop is derived, or set aside with the reason", underived(s) == 0,
			fmt.Sprintf("%d derived, %d parked, %d skipped, %d waived", s.Counts.Exchanged, s.Counts.Parked, s.Counts.Skipped, s.Counts.Waived),
			fmt.Sprintf("%d are not derived yet; a worker must be running", underived(s))),
		lateLegacy(s),
	}
}

// settledConditions add that no shop waits for a person.
func settledConditions(s Snapshot) []Condition {
	return append(derivedConditions(s),
		condition("no shop is parked", s.Counts.Parked == 0, "none is",
			fmt.Sprintf("%d are: mend and retry them, or waive them by name", s.Counts.Parked)))
}

func lateLegacy(s Snapshot) Condition {
	return condition("late legacy shops are taken in", s.LateInstalls == 0, "none came",
		fmt.Sprintf("%d came since the walk; a worker takes them in", s.LateInstalls))
}

func checkConditions(m Migration) []Condition {
	if m.CheckPlanned == 0 {
		return []Condition{condition("derived tokens are checked", true, "by hand: the run was started with --sample 0, the note is the evidence", "")}
	}
	return []Condition{
		condition("derived tokens are checked", m.Checked(), Plural(m.CheckPlanned, "shop"),
			fmt.Sprintf("%d of %s; a worker must be running", m.CheckDone, Plural(m.CheckPlanned, "shop"))),
		condition("derived tokens work", m.CheckAlive > 0, fmt.Sprintf("%d do, %d do not", m.CheckAlive, m.CheckDead),
			fmt.Sprintf("not one does, %d were refused", m.CheckDead)),
	}
}

// notCounted is the lack of a snapshot that was read for the engine.
const notCounted = "legacy credentials were not counted"

// scrubConditions tell that no shop needs its legacy credential any more, and how
// many lose the only one that they have. They are the evidence of the certificate.
func scrubConditions(s Snapshot) []Condition {
	m, aside := s.Migration, ""
	if m.LegacyOnly > 0 {
		aside = fmt.Sprintf(" (%d with no credential but a legacy one, which goes too)", m.LegacyOnly)
	}
	shops := shopConditions(s.Counts, "nothing shows that derived tokens work", aside)
	if settled := &shops[1]; settled.Met && !m.Counted {
		settled.Met, settled.Evidence = false, notCounted
	}
	return slices.Concat(shops, []Condition{lateLegacy(s)}, boundGate(s.Bound))
}
