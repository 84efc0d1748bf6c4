package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestWhatPostgreSQLWouldRefuseAgain(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"SQLSTATE 23514, constraint odd": &pgconn.PgError{Code: "23514", ConstraintName: "odd", Message: "violates", Detail: "Failing row contains (hush)."},
		"SQLSTATE 22021":                 fmt.Errorf("write: %w", &pgconn.PgError{Code: "22021", Message: "invalid byte sequence"}),
	} {
		if got := Unstorable(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	// Deadlock, a standby, a full disk, a shutdown, a role without its rights, a
	// schema that is being changed: they pass, or a person mends them.
	for _, code := range []string{"40P01", "25006", "53100", "57P01", "42501", "42703", "55P03", "XX000"} {
		if got := Unstorable(&pgconn.PgError{Code: code}); got != "" {
			t.Errorf("%s: %q", code, got)
		}
	}
	if got := Unstorable(errors.New("no answer")); got != "" {
		t.Errorf("another error: %q", got)
	}
}
