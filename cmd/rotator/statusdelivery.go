package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// statusDeliveries counts the new tokens of the run's shops by whether the app,
// at its deliver URL, knows them.
type statusDeliveries struct {
	Pending       int     `json:"pending"`
	Failing       int     `json:"failing"`
	Acknowledged  int     `json:"acknowledged"`
	Waived        int     `json:"waived"`
	OldestSeconds float64 `json:"oldest_seconds"`
	// DownSince is set while the app acknowledges nothing.
	DownSince *time.Time `json:"down_since"`
	Required  bool       `json:"required"`
}

func deliveriesOf(d rotation.Deliveries) statusDeliveries {
	s := statusDeliveries{
		Pending: d.Pending, Failing: d.Failing, Acknowledged: d.Acknowledged, Waived: d.Waived,
		OldestSeconds: d.Oldest.Round(time.Second / 10).Seconds(), Required: d.Required,
	}
	if !d.DownSince.IsZero() {
		s.DownSince = &d.DownSince
	}
	return s
}

// words is empty for an app that is told of nothing.
func (d statusDeliveries) words(at time.Time) string {
	if d.Pending+d.Failing+d.Acknowledged+d.Waived == 0 && !d.Required {
		return ""
	}
	words := []string{fmt.Sprintf("%d acknowledged by the app", d.Acknowledged)}
	for _, part := range []struct {
		n    int
		name string
	}{{d.Pending, "pending"}, {d.Failing, "failing"}, {d.Waived, "waived"}} {
		if part.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", part.n, part.name))
		}
	}
	if d.Pending+d.Failing > 0 {
		words = append(words, "the oldest for "+span(time.Duration(d.OldestSeconds*float64(time.Second))))
		if d.DownSince != nil {
			words = append(words, "nothing is acknowledged for "+span(at.Sub(*d.DownSince)))
		}
	}
	return strings.Join(words, ", ")
}
