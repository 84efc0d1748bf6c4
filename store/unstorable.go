package store

import (
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/haravan-rotator/rotator/rotation"
)

// Unstorable tells which rule or which value made PostgreSQL refuse a write that
// it would refuse again (PostgreSQL, Appendix A, classes 22 and 23); "" when it
// was something else, as a server that is away or a column that is missing.
// PostgreSQL's own words are left out: they can hold the row, and what a trigger
// raises, names included, anything.
func Unstorable(err error) string {
	var pg *pgconn.PgError
	switch {
	case !errors.As(err, &pg), !strings.HasPrefix(pg.Code, "22") && !strings.HasPrefix(pg.Code, "23"):
		return ""
	case pg.ConstraintName != "" && pg.Routine != "exec_stmt_raise":
		return "SQLSTATE " + pg.Code + ", constraint " + pg.ConstraintName
	}
	return "SQLSTATE " + pg.Code
}

const (
	saysUnstorable = "PostgreSQL refuses to store the outcome ("
	// unstorableTries is how often a shop is exchanged whose new token cannot be
	// stored, and unstorablePause how long it is left alone in between.
	unstorableTries = 8
	unstorablePause = 2 * time.Second
)

// SetAside is what to store instead of an outcome that PostgreSQL refuses: a
// token that is stored stays where it is, one that is not is lost, and may be the
// one that the platform accepts.
func (o Outcome) SetAside(why string) Outcome {
	aside := Outcome{
		Claim: o.Claim, State: rotation.ItemParked, Class: rotation.ClassOurs, Asked: o.Asked, Latency: o.Latency,
		Detail: saysUnstorable + why + ")",
		Acted:  o.Acted || o.State == rotation.ItemUnknown || o.State == rotation.ItemExchanged && !o.New.IsZero(),
	}
	if o.State == rotation.ItemExchanged && !o.New.IsZero() && o.Claim.Tries < unstorableTries {
		aside.State, aside.Delay = rotation.ItemUnknown, unstorablePause
	}
	return aside
}
