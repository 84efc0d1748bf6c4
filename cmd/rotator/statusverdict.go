package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// statusVerdict is whether the fleet fits the window, by what was last measured.
type statusVerdict struct {
	Outlook rotation.Outlook `json:"outlook"`
	Words   string           `json:"words"`
	// Measured is what the verdict was taken on, LatencyMS the median of a call.
	Measured  string  `json:"measured"`
	LatencyMS float64 `json:"latency_ms"`
	// At is when it was taken: by the first wave or, before, just now.
	At time.Time `json:"at"`
	// Accepted tells that an operator accepted more than one refresh token.
	Accepted bool `json:"accepted"`
}

// statusWire is the spelling of the run's exchanges.
type statusWire struct {
	Pinned bool   `json:"pinned"`
	Words  string `json:"words"`
}

// verdictOf is the verdict on a run: as given after the first wave, or before
// that by what the plan measured; nil when nobody measured.
func verdictOf(s rotation.Snapshot) *statusVerdict {
	j := s.Judged
	if j == nil {
		if s.Preflight == nil || s.Phase.Before(rotation.PhaseArmed) || !s.Phase.Before(rotation.PhaseProven) || s.Window.Left(s.Now) <= 0 {
			return nil
		}
		j = &rotation.Judged{Verdict: rotation.Fit(s, *s.Preflight), Measured: *s.Preflight, At: s.Now}
		if !s.WalkDone {
			j.Words += " (not every shop is in the run yet)"
		}
	}
	return &statusVerdict{j.Outlook, j.Words, j.Measured.How, j.Measured.LatencyMS, j.At.UTC(), s.AcceptWindows}
}

// healthOf is how the app's health URL answered last, nil without one.
func healthOf(s rotation.Snapshot) *rotation.Health {
	if s.Health.URL == "" {
		return nil
	}
	h := s.Health
	return &h
}

// wireOf tells the spelling; one that cannot be read is shown as it is stored.
func wireOf(s store.RunSettings) statusWire {
	w, err := runWire(s)
	words := w.String()
	if err != nil {
		words = string(s.Wire)
	}
	if s.WireProbe {
		words += "; to be found on the first canary shop"
	}
	return statusWire{Pinned: !s.WireProbe, Words: words}
}

// addVerdict shows what was measured and found for the run, while it matters.
func (v statusView) addVerdict(add func(string, string, ...any)) {
	if v.State != runOpen || !v.Phase.Before(rotation.PhaseProven) || v.Phase.Before(rotation.PhaseArmed) {
		return
	}
	if d := v.Verdict; d != nil {
		accepted := ""
		if d.Accepted && d.Outlook != rotation.OutlookFits {
			accepted = " (accepted)"
		}
		add("verdict", "%s%s, by %s", d.Words, accepted, d.Measured)
	}
	if !v.Wire.Pinned || v.Wire.Words != haravan.DefaultWire().String() {
		add("wire", "%s", v.Wire.Words)
	}
	if h := v.Health; h != nil {
		add("health", "%s: %s", h.URL, healthWords(*h))
	}
}

func healthWords(h rotation.Health) string {
	switch {
	case h.Failures > 0:
		return fmt.Sprintf("failed %s in a row: %s", plural(h.Failures, "time"), h.Why)
	case h.OKAt != nil:
		return "well at " + moment(h.OKAt)
	}
	return "not polled yet"
}

// runWire is the wire variant in a run's settings.
func runWire(s store.RunSettings) (haravan.Wire, error) {
	w := haravan.DefaultWire()
	if len(s.Wire) == 0 {
		return w, nil
	}
	if err := json.Unmarshal(s.Wire, &w); err != nil {
		return w, fmt.Errorf("read the run's wire variant: %w", err)
	}
	return w, nil
}
