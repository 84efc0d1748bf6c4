package main

import (
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

// printDrill prints one rehearsal: a line of its own among several, else facts.
func (c *cli) printDrill(r drillResult, oneOfMany bool) error {
	switch {
	case c.asJSON:
		return c.printJSON(r)
	case oneOfMany:
		return c.printf("%s, %.0fms: eta_seconds %.2f real_seconds %.2f eta_error_percent %+.1f%s shops_per_min %.0f\n",
			plural(r.Shops, "shop"), r.LatencyMS, r.ETA, r.Real, r.Error, r.canary(" after the canary "), r.ShopsPerMin)
	}
	facts := []fact{
		{"shops", fmt.Sprintf("%d at %.0fms a call, %d in flight", r.Shops, r.LatencyMS, r.InFlight)},
		{"machine", fmt.Sprintf("at most %.0f shops/s (rotator rotation plan --ceiling %.0f), %.0fms for a step of the engine", r.Ceiling, r.Ceiling, r.StepMS)},
		{"planned", fmt.Sprintf("%.2f s: %s", r.ETA, r.Verdict.Words)},
		{"took", fmt.Sprintf("%.2f s, %.0f shops/min; %d proven, %d skipped", r.Real, r.ShopsPerMin, r.Proven, r.Skipped)},
		{"plan off by", fmt.Sprintf("%+.1f %%%s", r.Error, r.canary(", after the canary "))},
	}
	if s := r.Scale; s != nil {
		fits := "the run fits"
		if !r.FitsWindow {
			fits = "the run does NOT fit"
		}
		facts = append(
			facts,
			fact{"stands for", fmt.Sprintf("%d shops in an hour: %s", s.Shops, s.Verdict.Words)},
			fact{"scaled", fmt.Sprintf("by %d: %s a window of %.0f s", s.Factor, fits, r.Window)},
		)
	}
	if f := r.Fleet; f != nil {
		facts = append(facts, fact{"your fleet", fmt.Sprintf("%s: %s", f.Verdict.Outlook, f.Verdict.Words)})
	}
	if err := c.printFacts(facts...); err != nil {
		return err
	}
	if f := r.Fleet; f != nil && f.Verdict.Outlook != rotation.OutlookFits {
		c.notef("  %s", remedy(f.Verdict, "rotator drill"))
	}
	return nil
}

// canary is the error of the second estimate after some words, "" without one.
func (r drillResult) canary(words string) string {
	if r.CanaryError == nil {
		return ""
	}
	return fmt.Sprintf("%s%+.1f %%", words, *r.CanaryError)
}

// verdict is the exit code.
func (r drillResult) verdict() error {
	switch {
	case r.Scale != nil && r.FitsWindow:
		return nil
	case r.Scale != nil:
		return exitWith(exitFailed, fmt.Errorf("the scaled run took %.0f s of a window of %.0f s", r.Real, r.Window), "repeat it when nothing else uses the machine")
	case !r.Within:
		return exitWith(exitFailed, fmt.Errorf("%s at %.0fms: the plan was off by %+.1f %%, more than %d %%", plural(r.Shops, "shop"), r.LatencyMS, r.Error, drillWithin),
			"the estimate holds for a machine that does nothing else: repeat it on one")
	case r.Fleet != nil && r.Fleet.Verdict.Outlook != rotation.OutlookFits:
		return exitWith(exitNoFit, nil, "")
	}
	return nil
}
