package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// contents is a digest of every table's rows.
func (r *rig) contents() map[string]string {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), strings.TrimPrefix(r.env[0], "DATABASE_URL="))
	must(r.t, err)
	defer conn.Close(context.WithoutCancel(r.t.Context()))
	rows, err := conn.Query(r.t.Context(), "select table_name from information_schema.tables where table_schema = 'rotator' and table_type = 'BASE TABLE'")
	must(r.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(r.t, err)
	out := map[string]string{}
	for _, table := range tables {
		var digest string
		must(r.t, conn.QueryRow(r.t.Context(), "select coalesce(md5(string_agg(t::text, ',' order by t::text)), 'empty') from rotator."+pgx.Identifier{table}.Sanitize()+" t").Scan(&digest))
		out[table] = digest
	}
	return out
}

func TestAPlanWritesNothingAnywhere(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 80})
	lookAt := func(when string, args ...string) {
		t.Helper()
		before, calls := r.contents(), sim.Counts()
		r.ok("", append([]string{"rotation", "plan"}, args...)...)
		for table, digest := range r.contents() {
			if before[table] != digest {
				t.Errorf("%s: plan changed table %s", when, table)
			}
		}
		if len(before) < 10 {
			t.Errorf("only %d tables were looked at", len(before))
		}
		now := sim.Counts()
		if now.Exchanges != calls.Exchanges || now.Minted != calls.Minted || now.IdentityCalls <= calls.IdentityCalls {
			t.Errorf("%s: plan made %d exchanges and %d reads", when, now.Exchanges-calls.Exchanges, now.IdentityCalls-calls.IdentityCalls)
		}
	}
	lookAt("before any run")
	for _, c := range sim.History() {
		if c.Method != "GET" || c.Op != haravansim.OpIdentity {
			t.Errorf("plan called %s %s", c.Method, c.Path)
		}
	}
	r.toArmed(sim)
	lookAt("armed")
	r.ok("", "rotation", "pause")
	lookAt("held", "--json")
	r.exits(exitWaiting, "", "worker", "--once", "--log-level", "error")
	r.ok("", "rotation", "resume")
	r.exits(exitWaiting, "", "worker", "--once", "--log-level", "error")
	lookAt("proven")
}

// The connections that plan reads on refuse a write, whatever the code does.
func TestPlanReadsOnConnectionsThatRefuseToWrite(t *testing.T) {
	t.Parallel()
	r, _ := newFleet(t, haravansim.Options{Shops: 2})
	c := newCLI(r.env, strings.NewReader(""), t.Output(), t.Output())
	s, done, err := c.openReader(t.Context())
	must(t, err)
	defer done()
	a, err := s.App(t.Context(), "")
	must(t, err)
	for what, write := range map[string]func() error{
		"an app":       func() error { _, err := s.SetApp(t.Context(), "x", a); return err },
		"a heartbeat":  func() error { _, err := s.StartWorker(t.Context(), store.WorkerInfo{Host: "h"}); return err },
		"a run":        func() error { _, err := s.TakePoll(t.Context(), 1, time.Hour); return err },
		"the keyring":  func() error { return s.KeyringVerified(t.Context(), "x", "copy") },
		"River's jobs": func() error { _, err := s.Pool().Exec(t.Context(), "delete from rotator.river_job"); return err },
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), "read-only transaction") {
			t.Errorf("writing %s on plan's connections: %v", what, err)
		}
	}
}

func TestAPlanDuringARunLeavesItAlone(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 600, Latency: 10 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() { ended <- runOnce(ctx, r.env, "", "worker", "--inflight", "8", "--log-level", "error") }()
	r.toArmed(sim)
	plans := 0
	for {
		r.ok("", "rotation", "plan", "--json")
		plans++
		var st struct {
			Phase rotation.Phase  `json:"phase"`
			Items rotation.Counts `json:"items"`
		}
		must(t, json.Unmarshal([]byte(r.ok("", "rotation", "status", "--json").stdout), &st))
		if !st.Phase.Before(rotation.PhaseProven) {
			if st.Items.Proven != 600 {
				t.Errorf("%d shops are proven", st.Items.Proven)
			}
			break
		}
	}
	stop()
	if got := <-ended; got.code != exitDone {
		t.Errorf("the worker ended with %d: %s", got.code, got.stderr)
	}
	if plans < 3 {
		t.Errorf("only %d plans were made", plans)
	}
	if n := sim.Counts().MostMinted; n != 1 {
		t.Errorf("a shop was exchanged %d times", n)
	}
	if m := sim.Misuse(); len(m) > 0 {
		t.Errorf("misuse: %v", m)
	}
}
