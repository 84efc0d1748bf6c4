package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// saboteur counts the statements of a pool and breaks the n-th.
type saboteur struct {
	mu    sync.Mutex
	count int
	seen  []string
	// at is the statement to break, 0 for none; with how.
	at   int
	with func(context.Context, *pgx.Conn) context.Context
}

func (s *saboteur) TraceQueryStart(ctx context.Context, conn *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.seen = append(s.seen, strings.Join(strings.Fields(q.SQL), " "))
	if s.count == s.at {
		return s.with(ctx, conn)
	}
	return ctx
}

func (*saboteur) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// sabotaged is a store on the rig's database, whose statements s sees.
func (r *rig) sabotaged(t *testing.T, s *saboteur) *store.Store {
	t.Helper()
	return traced(t, r.DB, s).Store
}

// crashGroup claims shops and makes a group that needs every statement of
// WriteOutcomes: an exchange, a late one, a proof, one in place and one that was
// replaced, one set aside, and one whose swap is refused.
func crashGroup(t *testing.T) (*rig, []store.Outcome) {
	t.Helper()
	r, _, claims := claimAll(t, 7)
	r.deliverTo(t, "https://app.example.com/tokens")
	r.write(t, store.Written, exchanged(claims[2]), exchanged(claims[6]))
	late := claims[1]
	late.Fence++ // of a lease that is not the batch's
	r.replace(t, claims[4].Domain, "imported-4", r.run.OldSecretID)
	r.replace(t, claims[6].Domain, "imported-6", r.run.OldSecretID)
	return r, []store.Outcome{
		exchanged(claims[0]), exchanged(late), r.proven(claims[2]),
		{Claim: claims[3], State: rotation.ItemProven},
		{Claim: claims[4], State: rotation.ItemProven},
		{Claim: claims[5], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503"},
		r.proven(claims[6]),
	}
}

var crashVerdicts = []store.Verdict{
	store.Written, store.Fenced, store.Written, store.Written, store.Replaced, store.Written, store.Replaced,
}

func TestWhereverAGroupIsCutOffAllOrNothingIsWritten(t *testing.T) {
	t.Parallel()
	r, group := crashGroup(t)
	dump := func() []string {
		return ask[string](t, r.DB, `select concat(i, s, d, (select count(*) from rotator.minted m where i.position = any(m.positions)))
			from rotator.items i join rotator.shops s on s.id = i.shop_id left join rotator.deliveries d on d.shop_id = s.id order by i.position`)
	}
	before := dump()
	// begin, minted, late, proven, swap, owe, rollback; begin, minted, late,
	// proven, swap, owe, in place, due, aside, due, commit
	const rollback, commit = 7, 18
	cuts := map[string]func(context.Context, *pgx.Conn) context.Context{
		"the caller gives up": func(ctx context.Context, _ *pgx.Conn) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		},
		"the server ends the session": func(ctx context.Context, conn *pgx.Conn) context.Context {
			var ended bool
			if err := r.Pool.QueryRow(ctx, "select pg_terminate_backend($1, 5000)", int32(conn.PgConn().PID())).Scan(&ended); err != nil || !ended {
				t.Errorf("the session was not ended: %t, %v", ended, err)
			}
			return ctx
		},
	}
	for how, with := range cuts {
		statement := 1
		for ; ; statement++ {
			if statement == rollback {
				continue
			}
			s := &saboteur{at: statement, with: with}
			_, err := r.sabotaged(t, s).WriteOutcomes(t.Context(), group)
			if s.count < statement {
				t.Fatalf("%s: only %d statements ran", how, s.count)
			}
			if err == nil {
				t.Errorf("%s at statement %d: no error: %s", how, statement, s.seen[statement-1])
				return
			}
			if leaks(err.Error(), group[0].New, group[2].New, group[2].Old) {
				t.Errorf("%s at statement %d: the error shows a token", how, statement)
			}
			if diff := cmp.Diff(before, dump()); diff != "" {
				t.Errorf("%s at statement %d (%s), something was written:\n%s", how, statement, s.seen[statement-1], diff)
			}
			if s.seen[statement-1] == "commit" {
				break
			}
		}
		if statement != commit {
			t.Errorf("%s: a group takes %d statements, the table expects %d", how, statement, commit)
		}
	}
	// A rollback that is cut off has the same effect: the second try goes on.
	s := &saboteur{at: rollback, with: cuts["the server ends the session"]}
	verdicts, err := r.sabotaged(t, s).WriteOutcomes(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if s.seen[rollback-1] != "rollback" {
		t.Errorf("statement %d is not the rollback: %s", rollback, s.seen[rollback-1])
	}
	if diff := cmp.Diff(crashVerdicts, verdicts); diff != "" {
		t.Errorf("verdicts of the whole group (-want +got):\n%s", diff)
	}
	after := dump()
	for i := range before {
		if before[i] == after[i] {
			t.Errorf("position %d did not change", i+1)
		}
	}
}

// A commit whose answer is lost: the group is tried again and changes nothing.
func TestAfterALostAnswerToACommitTheNextTryIsFenced(t *testing.T) {
	t.Parallel()
	r, group := crashGroup(t)
	if _, err := r.WriteOutcomes(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	dump := func() []string {
		return ask[string](t, r.DB, "select concat_ws(' ', i.position, i.state, i.attempt, i.class, s.token_generation, s.access_token_fingerprint) from rotator.items i join rotator.shops s on s.id = i.shop_id order by i.position")
	}
	before := dump()
	verdicts, err := r.WriteOutcomes(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		// A token that is still to be proven is stored a second time.
		if want := map[bool]store.Verdict{true: store.Written, false: store.Fenced}[i == 0]; v != want {
			t.Errorf("outcome %d: verdict %d", i, v)
		}
	}
	if diff := cmp.Diff(before, dump()); diff != "" {
		t.Errorf("the second try changed:\n%s", diff)
	}
}

func contains(text, value string) bool { return value != "" && strings.Contains(text, value) }
