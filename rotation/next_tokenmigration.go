package rotation

import "fmt"

// nextMigration names the next safe action of a token migration that is free to
// work and has the workers that it needs.
func nextMigration(s Snapshot) Step {
	switch s.Phase {
	case PhaseDeriving:
		return nextDeriving(s)
	case PhaseDerived:
		return nextDerived(s)
	case PhaseChecked:
		if step, ok := nextUnsettled(s); ok {
			return step
		}
		return human(s, "confirm cutover --app "+s.App, fmt.Sprintf(cutoverWords, s.App))
	case PhaseCutover:
		return nextCutover(s)
	case PhaseScrubbed:
		if n := s.Migration.LegacyLeft; n > 0 {
			return human(s, "confirm scrubbed --app "+s.App, Counted(n, "shop", "still has", "still have")+" a legacy credential: scrub once more")
		}
		return human(s, "confirm closed", "nothing of the legacy credentials is stored any more: the copies of tokens that the run kept can be shredded and the run closed")
	}
	return Step{}
}

// cutoverWords is step 3 of Migrating a Haravan App from Legacy to OAuth
// Authentication, and how to leave it.
const cutoverWords = "the cutover, by hand, in this order: " +
	"(1) have the version of the app ready that reads the derived token instead of the legacy one and sends it as `Authorization: Bearer`; " +
	"(2) deploy it and, at the same moment, switch the app to OAuth in its panel on the Partners dashboard: calls fail for a few seconds between the two; " +
	"(3) say so with this command: a worker then proves every shop's token, five first. " +
	"There is no easy way back to legacy credentials once the panel is switched; until then `rotator tokenmigration cancel --confirm %s` takes everything back"

func nextDeriving(s Snapshot) Step {
	c := s.Counts
	switch {
	case !deriveSettled(s):
		return Step{Why: fmt.Sprintf("deriving: %d of %s done", c.Total-underived(s), Plural(c.Total, "shop"))}
	case c.Exchanged > 0:
		return Step{Why: fmt.Sprintf("derived: %d of %s; the worker goes on", c.Exchanged, Plural(c.Total, "shop"))}
	case c.Parked > 0:
		return human(s, "report", fmt.Sprintf("not one token could be derived: %d legacy tokens are malformed; see which, import them again and retry, or cancel the run", c.Parked))
	}
	return human(s, "cancel --confirm "+s.App, fmt.Sprintf("none of %s has a legacy token to derive from: nothing is to be migrated", Plural(c.Total, "shop")))
}

func nextDerived(s Snapshot) Step {
	m := s.Migration
	if step, ok := nextUnsettled(s); ok {
		return step
	}
	switch {
	case !m.Checked():
		return Step{Why: fmt.Sprintf("checking the derived tokens: %d of %s; the platform accepts them under a test app, or once the panel is switched", m.CheckDone, Plural(m.CheckPlanned, "shop"))}
	case m.CheckPlanned > 0 && m.CheckAlive == 0:
		return human(s, "report", fmt.Sprintf("not one derived token works, %d were refused: is version %d the secret that was current when the legacy tokens were issued? Cancel the run and start it with another --secret-version", m.CheckDead, m.SecretVersion))
	case m.CheckPlanned == 0:
		return human(s, "confirm checked", "no check was asked for (--sample 0): create a new app in the Partners dashboard, which uses OAuth, read a few shops with their derived tokens, then say what you saw")
	}
	return human(s, "confirm checked", fmt.Sprintf("%d derived tokens work, %d do not: look at `rotator tokenmigration report`, then say so", m.CheckAlive, m.CheckDead))
}

// nextUnsettled names what stands in the way of the next confirmation before the
// cutover: shops to derive, or shops that wait for a person.
func nextUnsettled(s Snapshot) (Step, bool) {
	switch {
	case !deriveSettled(s):
		return Step{Why: fmt.Sprintf("%s not derived yet, %d came late: the worker takes them in", Counted(underived(s), "shop", "is", "are"), s.LateInstalls)}, true
	case s.Counts.Parked > 0:
		return human(s, "report", Counted(s.Counts.Parked, "shop", "is", "are")+" parked: import their legacy tokens again and `rotator tokenmigration retry`, or accept each by name (`rotator tokenmigration waive DOMAIN --reason …`)"), true
	}
	return Step{}, false
}

func nextCutover(s Snapshot) Step {
	c := s.Counts
	switch {
	case c.Open() > 0 || s.LateInstalls > 0:
		return Step{Why: fmt.Sprintf("proving derived tokens after the switch: %d of %s settled", c.Settled(), Plural(c.Total, "shop"))}
	case c.Parked > 0:
		return human(s, "report --exceptions", fmt.Sprintf("%s broke: send the re-install links that this lists, then `rotator tokenmigration retry`, or accept each by name (`rotator tokenmigration waive DOMAIN --reason …`)", Plural(c.Parked, "shop")))
	case c.Proven > 0 && !GateMet(boundGate(s.Bound)):
		return Step{Why: "a worker reads the app's own table once more: " + unmet(boundGate(s.Bound))}
	case c.Proven == 0:
		return human(s, "report", fmt.Sprintf("not one of %s is proven, and nothing is left to try: see why, then retry them by class or by name; legacy credentials stay stored", Plural(c.Total, "shop")))
	}
	return human(s, "confirm scrubbed --app "+s.App, fmt.Sprintf(
		"%s proven: remove the legacy credentials for good, also those of %d skipped and %d waived shops; drop the app's own legacy column afterwards%s", Counted(c.Proven, "shop", "is", "are"), c.Skipped, c.Waived, bereft(s.Migration)))
}

// bereft warns of the shops that lose their only credential, and says how they
// keep one.
func bereft(m Migration) string {
	if m.LegacyOnly == 0 {
		return ""
	}
	return fmt.Sprintf(". No other credential is stored of %d skipped shops, which must be installed again once it is gone: `rotator tokenmigration report --exceptions` lists who was skipped and why, and a shop that is taken in again (`rotator shop exclude DOMAIN --undo`) is derived first", m.LegacyOnly)
}

// nextRefused is for a run whose derived tokens the platform refuses.
func nextRefused(s Snapshot, why string) Step {
	if s.Bound.concerns(s.HeldWhy) {
		return human(s, "resume", why+tableWords(s))
	}
	why += fmt.Sprintf("; tokens are derived from secret version %d", s.Migration.SecretVersion)
	switch s.Phase {
	case PhaseDeriving:
		return human(s, "resume", why+": mend what it names (`rotator doctor` looks at the keyring), then resume; nothing is in use yet, and `rotator tokenmigration cancel --confirm "+s.App+"` takes everything back")
	case PhaseCutover:
		return human(s, "resume", why+": switch the app to OAuth in its panel, then resume; the legacy credentials are still stored")
	}
	return human(s, "resume", why+": create a test app in the Partners dashboard (a new app uses OAuth), then resume; or `rotator tokenmigration cancel --confirm "+s.App+"` and start again with another --secret-version, or with --sample 0 to check by hand")
}

// migrationNeedsWorker reports whether the phase's work is done by a worker.
func migrationNeedsWorker(s Snapshot) bool {
	switch s.Phase {
	case PhaseDeriving:
		return !deriveSettled(s) || s.Counts.Exchanged > 0
	case PhaseDerived:
		return !deriveSettled(s) || !s.Migration.Checked()
	case PhaseChecked:
		return !deriveSettled(s)
	case PhaseCutover:
		return s.Counts.Open() > 0 || s.LateInstalls > 0 || !GateMet(boundGate(s.Bound))
	}
	return false
}
