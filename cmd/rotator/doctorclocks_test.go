package main

import (
	"strings"
	"testing"
	"time"
)

func TestJudgeClocks(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) *time.Duration { return &d }
	const tick = time.Second
	for _, tt := range []struct {
		name               string
		database, platform *time.Duration
		status, says       string
	}{
		{"nothing read", nil, nil, checkWarn, "nothing to compare"},
		{"all agree", at(0), at(0), checkOK, "database agrees, platform agrees"},
		{"within the limit", at(maxSkew), at(-maxSkew), checkOK, "platform is 1m0s behind this machine"},
		{"database one tick over", at(maxSkew + tick), at(0), checkWarn, "the database's clock is off"},
		{"database behind", at(-maxSkew - tick), at(0), checkWarn, "the database's clock is off"},
		{"platform one tick over", at(0), at(maxSkew + tick), checkWarn, "the platform's clock is off, or this machine's and the database's are"},
		{"both contradict this machine", at(5 * time.Minute), at(5*time.Minute + maxSkew), checkWarn, "this machine's clock is off"},
		{"all differ", at(5 * time.Minute), at(-5 * time.Minute), checkWarn, "all three clocks differ"},
		{"two one tick further apart", at(5 * time.Minute), at(5*time.Minute + maxSkew + tick), checkWarn, "all three clocks differ"},
		{"database alone agrees", at(time.Second), nil, checkOK, "database is 1s ahead"},
		{"database alone", at(-2 * time.Minute), nil, checkWarn, "this machine's clock or the database's is off"},
		{"platform alone", nil, at(2 * time.Minute), checkWarn, "this machine's clock or the platform's is off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := clockReadings{tt.database, tt.platform}.judge()
			if got.Status != tt.status || !strings.Contains(got.Detail, tt.says) {
				t.Errorf("got %+v, want %s with %q", got, tt.status, tt.says)
			}
			if (got.Remedy != "") != (tt.status == checkWarn && tt.name != "nothing read") {
				t.Errorf("remedy %q", got.Remedy)
			}
		})
	}
}

func TestReadClocks(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var r clockReadings
	r.readPlatform(start, start, time.Time{})
	if r.platform != nil {
		t.Error("an answer without a Date header was read")
	}
	r.readDatabase(start, start.Add(4*time.Second), start.Add(2*time.Second))
	r.readPlatform(start, start.Add(time.Second), start.Add(-2*time.Minute))
	if *r.database != 0 || *r.platform != -2*time.Minute {
		t.Errorf("database %s, platform %s", *r.database, *r.platform)
	}
}
