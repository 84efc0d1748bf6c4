package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A service that is not started again after 78 would stay down after a restart of
// the database.
func TestADatabaseThatGoesAwayIsNoMisconfiguration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, at, command string }{
		{"before the keyring is checked", "rotator.keyring", "worker --once"},
		{"before a reader's keyring is checked", "rotator.keyring", "rotation plan"},
		{"where there may be no keyring", "rotator.keyring", "worker --once --keyring nofile"},
		{"where a reader may have no keyring", "rotator.keyring", "rotation plan --keyring nofile"},
		{"before the schema is checked", "rotator.schema_version", "worker --once"},
		{"under a check", "rotator.schema_version", "check"},
		{"under the doctor", "rotator.schema_version", "doctor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
			url, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
			dial := func() *pgx.Conn {
				conn, err := pgx.Connect(t.Context(), url)
				must(t, err)
				return conn
			}
			holder, other := dial(), dial()
			defer holder.Close(t.Context())
			defer other.Close(t.Context())
			_, err := holder.Exec(t.Context(), "begin; lock table "+tt.at)
			must(t, err)
			ended := make(chan result, 1)
			go func() { ended <- runOnce(t.Context(), r.env, "", strings.Fields(tt.command)...) }()
			for len(ended) == 0 {
				_, err := other.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")
				must(t, err)
			}
			if got := <-ended; got.code != exitFailed || !strings.Contains(got.stdout+got.stderr, "57P01") {
				t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// A standby, or a database whose disk is full.
func TestADatabaseThatRefusesWritesIsNoMisconfiguration(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	writable := r.env
	r.env = slices.Clone(writable)
	r.env[0] += "&default_transaction_read_only=on"
	exits := func(code int, says string, args ...string) {
		t.Helper()
		if got := r.run("", args...); got.code != code || !strings.Contains(got.stdout+got.stderr, says) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s%s", args, got.code, code, says, got.stdout, got.stderr)
		}
	}
	exits(exitFailed, "read-only transaction", "worker", "--once") // cannot be bound to a keyring
	foreign := r.dir + "/foreign.json"
	r.ok("", "keyring", "create", foreign)
	(&rig{t: t, env: writable}).ok("", "app", "set", "--name", "main", "--client-id", "client-1")

	exits(exitDone, "main", "app", "list")
	exits(exitFailed, "read-only transaction", "worker", "--once")
	exits(exitConfig, "this keyring is not the one that sealed this database", "worker", "--once", "--keyring", foreign)
	if _, checks := diagnosis(t, r); checks["keyring"].Status != checkOK {
		t.Errorf("the doctor on the keyring: %+v", checks["keyring"])
	}
}
