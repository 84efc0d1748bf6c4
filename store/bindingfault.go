package store

import (
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// BoundFault is why an app's own table could not be read or written as it is
// bound. Its text holds no value of the table.
type BoundFault struct {
	Table string
	// Why completes "the bound table … ", and says what to do.
	Why string
	// Row tells that only some rows may be at fault, not the table.
	Row bool
	// Busy tells that it passes by itself: somebody holds a lock.
	Busy bool
}

// Error implements error.
func (f *BoundFault) Error() string { return "the bound table " + f.Table + " " + f.Why }

const mendBinding = ": mend it, or bind again with `rotator shop bind`"

const (
	// boundLockWait is how long a statement waits for others' locks on the
	// bound table, boundPatience how long it may take as a whole.
	boundLockWait = time.Second
	boundPatience = 5 * time.Second
)

// fault tells a failure of the bound table, as a *BoundFault, from one of the
// connection, which is returned as it is. PostgreSQL's words are repeated only
// where they cannot hold a value: a trigger may put a token into its own.
func (b Binding) fault(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	f := &BoundFault{Table: b.Name()}
	switch class := pg.Code[:2]; {
	case pg.Routine == "exec_stmt_raise": // whatever code it chose
		f.Row, f.Why = true, "refuses the token: a trigger of it raised an exception; the server's log has its words"
	case pg.Code == "40P01": // deadlock: whoever began the transaction tries again
		return err
	case class == "08", class == "53", class == "58", class == "XX", strings.HasPrefix(pg.Code, "57P"):
		return err
	case pg.Code == "55P03":
		f.Busy, f.Why = true, "is locked as a whole by another transaction"
	case pg.Code == "57014":
		f.Busy, f.Why = true, "does not answer in time: look for locks and slow triggers"
	case pg.Code == "42P01", pg.Code == "3F000":
		f.Why = "does not exist any more" + mendBinding
	case pg.Code == "42703":
		f.Why = "lacks a column (" + pg.Message + ")" + mendBinding
	case pg.Code == "42501":
		f.Why = "may not be used by this role (" + pg.Message + "): grant the rights that `rotator shop bind` lists"
	case class == "42", pg.Code == "25006":
		f.Why = "does not fit its binding any more (" + pg.Message + ")" + mendBinding
	case pg.Code == "22001":
		f.Row, f.Why = true, "has a token column that is too short for the token: widen it"
	case class == "23" && pg.ConstraintName != "":
		f.Row, f.Why = true, "refuses the token by its constraint "+pg.ConstraintName
	default:
		f.Row, f.Why = true, "refuses the row (SQLSTATE "+pg.Code+"); the server's log has the words"
	}
	return f
}

// lacks is the fault of a table that has lost what it was bound by.
func (b Binding) lacks(columns []string) error {
	noun := "column "
	if len(columns) > 1 {
		noun = "columns "
	}
	return &BoundFault{Table: b.Name(), Why: "has no " + noun + strings.Join(columns, ", ") + " any more" + mendBinding}
}

func (b Binding) gone() error {
	return &BoundFault{Table: b.Name(), Why: "does not exist any more" + mendBinding}
}

// quote is a name as SQL has it.
func quote(names ...string) string { return pgx.Identifier(names).Sanitize() }
