package runbooks_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// dashboard does what an operator does in the Partners dashboard, and to the app.
func (r *rig) dashboard(words []string) {
	r.t.Helper()
	var value string
	var err error
	switch argument := words[len(words)-1]; words[0] {
	case "create-secret":
		var s haravansim.Secret
		s, err = r.sim.CreateSecret()
		value = s.Value
	case "create-refresh-token":
		value = r.sim.CreateRefreshToken().Value
	case "mend-receiver":
		r.receiver.Store(http.StatusNoContent)
	case "revoke-secret":
		var version int
		if version, err = strconv.Atoi(argument); err == nil {
			_, err = r.sim.RevokeSecret(version)
		}
	case "create-test-app":
		r.sim.CreateTestApp()
	case "switch-to-oauth":
		r.sim.SwitchToOAuth()
	default:
		r.t.Fatalf("the dashboard has no %q", words[0])
	}
	if err != nil {
		r.t.Fatalf("dashboard %v: %v", words, err)
	}
	if value != "" {
		r.write(words[1], value+"\n")
	}
}

// receive starts what the app receives deliveries with; it answers as
// r.receiver says, and its URL is in $DELIVER_URL.
func (r *rig) receive(status int32) {
	r.t.Helper()
	r.receiver.Store(status)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(r.receiver.Load())) }))
	r.t.Cleanup(app.Close)
	r.env = append(r.env, "DELIVER_URL="+app.URL+"/tokens")
}

// pass lets time go by: for the platform, the runs, the leases and the workers.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	if _, err := r.sim.Advance(d); err != nil {
		r.t.Fatal(err)
	}
	r.sql(`update rotator.runs set phase_at = phase_at - $1::interval`, d)
	r.sql(`update rotator.attestations set at = at - $1::interval`, d)
	r.sql(`update rotator.workers set heartbeat_at = heartbeat_at - $1::interval`, d)
	r.sql(`update rotator.items set next_attempt_at = next_attempt_at - $1::interval`, d)
	r.sql(`update rotator.refresh_tokens set expires_at = expires_at - $1::interval`, d)
}

func (r *rig) sql(statement string, args ...any) {
	r.t.Helper()
	ctx := r.t.Context()
	conn, err := pgx.Connect(ctx, r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement, args...); err != nil {
		r.t.Fatal(err)
	}
}
