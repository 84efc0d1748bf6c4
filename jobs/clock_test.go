package jobs

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheDatabasesClockIsReadBetweenTwoMoments(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := databaseClock{log: slog.New(slog.NewTextHandler(&log, nil))}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		way, shown, want time.Duration
		warned           bool
	}{
		{0, clocksAgree, 0, false},
		{0, clocksAgree + 1, clocksAgree + 1, false},
		{0, 0, 0, false},
		{2 * time.Second, 2 * time.Second, 0, false}, // it may have looked at the last moment
		{2 * time.Second, -3 * time.Minute, -3*time.Minute - time.Second, true},
		{0, -3*time.Minute - 5*time.Second, -3*time.Minute - 5*time.Second, false},
		// Beats that waited for a connection or a row agree with that, as with 0.
		{8 * time.Second, -3*time.Minute + 2*time.Second, -3*time.Minute - 5*time.Second, false},
		{8 * time.Minute, 3 * time.Minute, -3*time.Minute - 5*time.Second, false},
		{0, 0, 0, true},
		{0, time.Hour, time.Hour, true},
	} {
		log.Reset()
		c.read(noon, noon.Add(step.way), noon.Add(step.shown))
		if got := time.Duration(c.ahead.Load()); got != step.want {
			t.Errorf("%s shown after %s: ahead by %s, want %s", step.shown, step.way, got, step.want)
		}
		if warned := strings.Contains(log.String(), "WARN"); warned != step.warned {
			t.Errorf("%s shown after %s: warned %t\n%s", step.shown, step.way, warned, &log)
		}
		if now := c.NowOrNil(); (now == nil) != (step.want == 0) {
			t.Errorf("ahead by %s River is told %v", step.want, now)
		}
		if off := time.Until(c.Now()) - step.want; off.Abs() > time.Minute {
			t.Errorf("ahead by %s the time is %s off", step.want, off)
		}
	}
}
