package main

import (
	"fmt"
	"time"
)

// maxSkew is the difference of two clocks that is still harmless: the window is
// counted in minutes, signatures' timestamps in hours.
const maxSkew = time.Minute

// clockReadings are how far other clocks are ahead of this machine's.
type clockReadings struct {
	database, platform *time.Duration // nil: not read
}

// readDatabase takes the database's time, read between two times of this
// machine.
func (r *clockReadings) readDatabase(before, after, there time.Time) {
	r.database = ahead(before, after, there)
}

// readPlatform takes a Date header, which is cut to whole seconds.
func (r *clockReadings) readPlatform(before, after, date time.Time) {
	if !date.IsZero() {
		r.platform = ahead(before, after, date.Add(500*time.Millisecond))
	}
}

func ahead(before, after, there time.Time) *time.Duration {
	d := there.Sub(before.Add(after.Sub(before) / 2)).Round(time.Second)
	return &d
}

// judge says which clock is off: the one that the other two contradict.
func (r clockReadings) judge() check {
	switch {
	case r.database == nil && r.platform == nil:
		return check{Status: checkWarn, Detail: "there is nothing to compare this machine's clock with"}
	case !off(r.database) && !off(r.platform):
		return check{Status: checkOK, Detail: r.describe()}
	}
	const ntp = "set it by NTP"
	whose, remedy := "this machine's clock or the platform's is off", "check NTP on this machine first"
	switch {
	case r.platform == nil:
		whose, remedy = "this machine's clock or the database's is off", "set both by NTP"
	case r.database == nil:
	case off(r.database) && !off(r.platform):
		whose, remedy = "the database's clock is off", ntp
	case !off(r.database):
		whose = "the platform's clock is off, or this machine's and the database's are"
	case *r.database-*r.platform <= maxSkew && *r.platform-*r.database <= maxSkew:
		whose, remedy = "this machine's clock is off", ntp
	default:
		whose, remedy = "all three clocks differ", "set this machine's and the database's by NTP"
	}
	return check{Status: checkWarn, Detail: whose + ": " + r.describe(), Remedy: remedy}
}

// off reports a difference of more than maxSkew, either way.
func off(d *time.Duration) bool { return d != nil && d.Abs() > maxSkew }

func (r clockReadings) describe() string {
	text := ""
	for _, clock := range []struct {
		name string
		d    *time.Duration
	}{{"database", r.database}, {"platform", r.platform}} {
		if clock.d == nil {
			continue
		}
		if text != "" {
			text += ", "
		}
		switch d := *clock.d; {
		case d == 0:
			text += clock.name + " agrees"
		case d > 0:
			text += fmt.Sprintf("%s is %s ahead of this machine", clock.name, d)
		default:
			text += fmt.Sprintf("%s is %s behind this machine", clock.name, -d)
		}
	}
	return text
}
