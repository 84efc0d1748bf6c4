package jobs_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// TestNoSecretIsSeen takes a hostile fleet through a whole rotation, a refused
// refresh token included, and searches everything that was written for every
// secret and token that was ever used.
func TestNoSecretIsSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 150, Seed: 3, Faults: haravansim.Hostile()})
	var log lockedBuffer
	r.log = slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), &slog.HandlerOptions{Level: slog.LevelDebug}))
	planted := map[string]string{}
	for s := range r.sim.Shops {
		planted[s.AccessToken] = "old token of " + s.Domain
	}
	for _, s := range r.sim.Secrets() {
		planted[s.Value] = fmt.Sprintf("secret %d", s.Version)
	}
	const refused = "planted-refresh-token-that-is-refused"
	planted[refused] = "refused refresh token"
	r.worker()
	r.start(operate.StartOptions{})
	r.armWith(refused, 0)
	r.until("held", isHeld(rotation.HeldWaiting))
	fresh := r.sim.CreateRefreshToken().Value
	planted[fresh] = "refresh token"
	r.armWith(fresh, 0)
	r.until("proven", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate })
	for s := range r.sim.Shops {
		planted[s.AccessToken] = "new token of " + s.Domain
	}
	dump := r.dump()
	for value, what := range planted {
		if value == "" {
			continue
		}
		for _, seen := range []string{value, hex.EncodeToString([]byte(value))} {
			if strings.Contains(log.String(), seen) {
				t.Errorf("%s is in the log", what)
			}
			if strings.Contains(dump, seen) {
				t.Errorf("%s is in the database in the clear", what)
			}
		}
	}
	if !strings.Contains(dump, "exchange_batch") || !strings.Contains(dump, "run.armed") {
		t.Error("the dump lacks jobs or journal: the search proves nothing")
	}
}

// dump is every row of every table as text.
func (r *rig) dump() string {
	r.t.Helper()
	rows, err := r.db.Pool.Query(r.ctx, "select tablename from pg_tables where schemaname = 'rotator'")
	r.must(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	r.must(err)
	var all strings.Builder
	for _, table := range tables {
		rows, err := r.db.Pool.Query(r.ctx, "select x::text from "+pgx.Identifier{"rotator", table}.Sanitize()+" x")
		r.must(err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		r.must(err)
		for _, line := range lines {
			all.WriteString(line + "\n")
		}
	}
	return all.String()
}
