package main

import (
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

func (st runStatus) migrating() bool { return st.Kind == rotation.KindTokenMigration }

// deriving tells that a token migration has not cut over: what counts is what
// is derived, not yet what is proven.
func (st runStatus) deriving() bool {
	return st.migrating() && st.Phase.Before(rotation.PhaseCutover)
}

// underived counts the shops that a worker must still derive a token for.
func (st runStatus) underived() int { return st.Items.Open() - st.Items.Exchanged }

// done is how many shops need nothing more in this part of the run.
func (st runStatus) done() int {
	if st.deriving() {
		return st.Items.Total - st.underived()
	}
	return st.Items.Settled()
}

// paced tells that the phase is one whose speed is of interest.
func (st runStatus) paced() bool {
	switch st.Phase {
	case rotation.PhaseExchanging, rotation.PhaseCutover:
		return true
	case rotation.PhaseDeriving, rotation.PhaseDerived:
		return st.calling()
	}
	return false
}

// calling tells that workers have shops to work on now.
func (st runStatus) calling() bool {
	switch st.Phase {
	case rotation.PhaseExchanging, rotation.PhaseCutover:
		return st.Items.Open() > 0
	case rotation.PhaseDeriving:
		return st.underived() > 0
	case rotation.PhaseDerived:
		return !st.Migration.Checked()
	}
	return false
}

// migrationParked tells that a token migration waits for a person because of
// parked shops.
func (st runStatus) migrationParked() bool {
	return st.migrating() && st.Held == nil && st.Items.Parked > 0 && st.Next.Human &&
		(st.deriving() && st.underived() == 0 || st.Phase == rotation.PhaseCutover && st.Items.Open() == 0)
}

// unproven is how many shops have a token that is still to be proven, where
// that is not what the run counts anyway.
func (v statusView) unproven() int {
	if v.deriving() {
		return 0
	}
	return v.Items.Exchanged
}

// stateWord calls a state what it means in this kind of run.
func (v statusView) stateWord(s rotation.ItemState) string {
	if s == rotation.ItemExchanged && v.migrating() {
		return "derived, not proven yet"
	}
	return string(s)
}

// addMigration tells what a token migration derives from, what its check found,
// and how much of the legacy credentials is left.
func (v statusView) addMigration(add func(string, string, ...any)) {
	m := v.Migration
	if m == nil {
		return
	}
	add("secret", "tokens are derived from version %d", m.SecretVersion)
	if m.CheckPlanned > 0 {
		add("checked", "%s", checkedWords(*m))
	}
	if !v.Phase.Before(rotation.PhaseCutover) && v.State == runOpen {
		add("legacy", "%s with a legacy credential stored", plural(m.LegacyLeft, "shop"))
	}
}

func checkedWords(m rotation.Migration) string {
	return fmt.Sprintf("%d of %s looked at: %d derived tokens work, %d were refused", m.CheckDone, plural(m.CheckPlanned, "shop"), m.CheckAlive, m.CheckDead)
}
