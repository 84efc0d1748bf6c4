package store_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// listener keeps all that a pool sends as statements and arguments.
type listener struct {
	mu   sync.Mutex
	sent []string
}

func (l *listener) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := q.SQL
	for _, a := range q.Args {
		switch a := a.(type) {
		case [][]byte:
			for _, b := range a {
				text += " " + string(b)
			}
		case []byte:
			text += " " + string(a)
		default:
			text += fmt.Sprintf(" %v", a)
		}
	}
	l.sent = append(l.sent, text)
	return ctx
}

func (*listener) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// search fails when a statement carries a value, or when fewer were heard than a
// search needs to mean something.
func (l *listener) search(t *testing.T, values []string, least int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range l.sent {
		if found := planted(text, values); found != nil {
			t.Errorf("a statement carries %q: %.60s", found, text)
		}
	}
	if len(l.sent) < least {
		t.Errorf("only %d statements were heard", len(l.sent))
	}
}

// planted reports which values a text shows, plain or in the encodings that a
// dump would use.
func planted(text string, values []string) (found []string) {
	for _, v := range values {
		for _, form := range []string{v, hex.EncodeToString([]byte(v)), base64.StdEncoding.EncodeToString([]byte(v))} {
			if strings.Contains(text, form) {
				found = append(found, v)
				break
			}
		}
	}
	return found
}

// dump is every row of every table of the schema, as text.
func dump(t *testing.T, db *storetest.DB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range ask[string](t, db, "select tablename::text from pg_tables where schemaname = 'rotator'") {
		all[table] = strings.Join(ask[string](t, db, "select t::text from "+pgx.Identifier{"rotator", table}.Sanitize()+" t"), "\n")
	}
	if len(all) < 13 || all["river_job"] == "" || all["items"] == "" || all["refresh_tokens"] == "" {
		t.Fatalf("the dump of %d tables lacks rows", len(all))
	}
	return all
}

func TestNoPlantedSecretIsEverStoredSentOrTold(t *testing.T) {
	t.Parallel()
	const n = 6
	plantedOld, plantedNew, plantedRefresh, plantedLegacy := "planted-secret-old", "planted-secret-new", "planted-refresh-token", "planted-legacy-pw"
	values := []string{plantedOld, plantedNew, plantedRefresh, plantedLegacy}
	for i := range n {
		values = append(values, fmt.Sprintf("planted-access-%d", i), fmt.Sprintf("fresh-%d-", i+1))
	}
	heard := &listener{}
	r := &rig{DB: traced(t, storetest.New(t), heard)}
	r.app = r.App(t, "shopbot", plantedOld, plantedNew)
	r.Import(t, r.app, func(yield func(string, string) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("shop-%d.myharavan.com", i), fmt.Sprintf("planted-access-%d", i)) {
				return
			}
		}
	})
	legacy := shopfile.Row{Line: 2, Domain: "legacy.myharavan.com", LegacyPassword: secret.New(plantedLegacy)}
	if _, err := r.ImportShops(t.Context(), storetest.Actor, r.app, 0, list(legacy), keepFirst); err != nil {
		t.Fatal(err)
	}
	r.run = r.Run(t, r.app, store.RunSettings{BatchSize: n, CheckSample: -1})
	r.worker = r.startWorker(t)
	r.walk(t)
	r.arm(t, plantedRefresh)
	r.enter(t, rotation.PhaseExchanging)
	g := r.release(t, 1)
	r.job(t, g[0], "available")
	claims := r.claim(t, r.take(t, g[0]))
	r.prove(t, claims[:n-2]...)
	r.write(t, store.Written, exchanged(claims[n-2]))
	r.write(t, store.Written, store.Outcome{Claim: claims[n-1], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour})
	r.enter(t, rotation.PhaseRevoked)
	r.checks(t)

	for table, text := range dump(t, r.DB) {
		if found := planted(text, values); found != nil {
			t.Errorf("table %s shows %q", table, found)
		}
	}
	heard.search(t, values, 50)

	for what, err := range failures(t, r, claims) {
		if err == nil {
			t.Errorf("%s does not fail", what)
			continue
		}
		if found := planted(fmt.Sprintf("%v %+v %#v", err, err, err), values); found != nil {
			t.Errorf("%s: the error shows %q", what, found)
		}
	}
	// The search itself must work.
	if planted("x planted-secret-old y", values) == nil || planted(hex.EncodeToString([]byte("a planted-refresh-token")), values) == nil {
		t.Error("the search finds nothing")
	}
}

// failures makes every call that is given a value fail.
func failures(t *testing.T, r *rig, claims []store.Claim) map[string]error {
	t.Helper()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	errs := map[string]error{}
	_, errs["secret twice"] = r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("planted-secret-new"))
	_, errs["secret of no app"] = r.AddSecret(t.Context(), storetest.Actor, -1, secret.New("planted-secret-old"))
	_, errs["secret, cancelled"] = r.AddSecret(gone, storetest.Actor, r.app.ID, secret.New("planted-secret-old"))
	_, errs["refresh token twice"] = r.tryArm(t.Context(), "planted-refresh-token")
	_, errs["outcomes, cancelled"] = r.WriteOutcomes(gone, []store.Outcome{exchanged(claims[0]), r.proven(claims[1])})
	broken := exchanged(claims[len(claims)-2])
	broken.State, broken.New = rotation.ItemState("no such state"), fresh(broken.Claim)
	_, errs["outcome of no state"] = r.WriteOutcomes(t.Context(), []store.Outcome{broken})
	bad := row(2, "shop-0.myharavan.com", "planted-access-1")
	bad.ExcludedReason = "not \x00 storable"
	_, errs["import"] = r.ImportShops(t.Context(), storetest.Actor, r.app, 0, list(bad), keepFirst)
	errs["export"] = r.ExportShops(t.Context(), r.app.ID, func(shopfile.Row) error { return errors.New("disk full") })
	_, errs["connect"] = store.Connect(t.Context(), secret.New("postgres://u:planted-secret-old@127.0.0.1:1/db"), "x", 2)
	_, errs["connect to nonsense"] = store.Connect(t.Context(), secret.New("postgres://u:planted-secret-old@:x:/db?%"), "x", 2)
	return errs
}
