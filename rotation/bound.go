package rotation

import (
	"strings"
	"time"
)

// Bound is what is known of an app's own table, in which rotator keeps tokens
// up to date.
type Bound struct {
	// Table is its name; "" when the app has none bound.
	Table string
	// Read tells that the table was read as a whole since the run began and since
	// the last shop was proven.
	Read bool
	// Due tells that the engine should read it now.
	Due bool
	// ReadAt is when it was last read; zero before the first time.
	ReadAt time.Time
	// LeftOut counts rows that the last reading left out: bad ones, and domains
	// that are named twice.
	LeftOut int
	// Behind counts rows that held a token which a run had replaced and that
	// could not be written, because others had them locked.
	Behind int
}

// concerns reports whether a run is held because of the table.
func (b Bound) concerns(why string) bool {
	return b.Table != "" && strings.Contains(why, "the bound table "+b.Table)
}

// boundGate lists what a bound table adds to the proof of a run: rows that came
// or changed while it went on must have been seen.
func boundGate(b Bound) []Condition {
	if b.Table == "" {
		return nil
	}
	evidence := "it was"
	if b.LeftOut > 0 {
		evidence = "it was; " + Counted(b.LeftOut, "row", "is bad or names a domain twice and is", "are bad or name a domain twice and are") + " in no run: `rotator shop import --bound --dry-run` lists them"
	}
	return []Condition{
		condition("the bound table "+b.Table+" was read since the last proof", b.Read, evidence, "not yet; a worker must be running"),
		condition("no row of it holds a token that a run replaced", b.Behind == 0, "none does", Plural(b.Behind, "row")+", which could not be written: locked?"),
	}
}
