package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// A table that does not take what it took before: no new token is lost, no
// other shop is kept waiting, and the item says what to do.
func TestATableThatTakesNothing(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct{ breaks, mends, says string }{
		"renamed column": {
			`alter table app."Shops" rename column oauth_token to token`, `alter table app."Shops" rename column token to oauth_token`,
			"the bound table app.Shops has no column oauth_token any more: mend it, or bind again with `rotator shop bind`",
		},
		"renamed table": {
			`alter table app."Shops" rename to shops_old`, `alter table app.shops_old rename to "Shops"`,
			"the bound table app.Shops does not exist any more: mend it",
		},
		"lost right": {
			`revoke update (access_token) on app."Shops" from %[1]s`, `grant update (access_token) on app."Shops" to %[1]s`,
			"the bound table app.Shops may not be used by this role (permission denied for table Shops): grant the rights",
		},
		"lost schema": {
			`revoke usage on schema app from %[1]s`, `grant usage on schema app to %[1]s`,
			"may not be used by this role (permission denied for schema app)",
		},
		"condition": {
			`alter table app."Shops" rename column uninstalled to gone`, `alter table app."Shops" rename column gone to uninstalled`,
			"lacks a column (column \"uninstalled\" does not exist): mend it",
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, claims := claimBound(t, 2)
			role := func(statement string) string { return strings.ReplaceAll(statement, "%[1]s", r.role) }
			r.write(t, store.Written, exchanged(claims[0]))
			r.onApp(t, role(tc.breaks))
			// The group has a new token that must be persisted whatever happens.
			verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{r.proven(claims[0]), exchanged(claims[1])})
			if err != nil || verdicts[0] != store.TableFailed || verdicts[1] != store.Written {
				t.Fatalf("verdicts %v, %v", verdicts, err)
			}
			r.stays(t, 0, rotation.ClassOurs, tc.says)
			r.onApp(t, role(tc.mends))
			c := r.claimDue(t, claims[0].Domain)
			proof := r.proven(c)
			proof.New = c.New
			r.write(t, store.Written, proof)
			if got := r.column(t, 0, "access_token"); got != c.New.Reveal() {
				t.Errorf("the app has %s", got)
			}
		})
	}
}

func TestALockedTableKeepsNothingElseWaiting(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"access exclusive", "share row exclusive"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r, claims := claimBound(t, 2)
			r.write(t, store.Written, exchanged(claims[0]))
			holder, err := r.admin.Pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = holder.Rollback(context.Background()) }()
			if _, err := holder.Exec(t.Context(), `lock table app."Shops" in `+mode+` mode`); err != nil {
				t.Fatal(err)
			}
			verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{exchanged(claims[1]), r.proven(claims[0])})
			if err != nil || verdicts[0] != store.Written || verdicts[1] != store.TableFailed {
				t.Fatalf("verdicts %v, %v", verdicts, err)
			}
			r.stays(t, 0, rotation.ClassOurs, "is locked as a whole by another transaction")
		})
	}
}

// A row that the app's own rules refuse keeps no other out, and no token of it
// is ever told.
func TestARowThatRefusesItsToken(t *testing.T) {
	t.Parallel()
	trigger := func(body string) string {
		return `create function app.guard() returns trigger language plpgsql as $$ begin
			if new."shop domain" ilike '%shop-3.%' then ` + body + `; end if; return new; end $$;
			create trigger guard before update on app."Shops" /* when */ for each row execute function app.guard()`
	}
	atCommit := strings.NewReplacer("create trigger guard before", "create constraint trigger guard after", "/* when */", "deferrable initially deferred")
	for what, tc := range map[string]struct{ breaks, says string }{
		"raises":        {trigger(`raise exception 'no % for you', new.access_token`), "a trigger of it raised an exception; the server's log has its words"},
		"raises a code": {trigger(`raise exception 'column % is gone', new.access_token using errcode = '42703'`), "a trigger of it raised an exception"},
		"drops":         {trigger(`return null`), "a trigger or rule of it drops the update"},
		"changes":       {trigger(`new.access_token = upper(new.access_token)`), "a trigger of it changes column access_token"},
		"divides":       {trigger(`perform 1 / 0`), "refuses the row (SQLSTATE 22012)"},
		"raises at the commit": {
			atCommit.Replace(trigger(`raise exception 'no %', new.access_token using errcode = '23514', constraint = new.access_token`)),
			"a trigger of it raised an exception",
		},
		"unique at the commit": {`alter table app."Shops" add constraint one_each unique (access_token) deferrable initially deferred;
			insert into app."Shops" ("shop domain", access_token, uninstalled) values ('other', 'fresh-4-1', true)`, "by its constraint one_each"},
		"check":  {`alter table app."Shops" add constraint no_fresh check ("shop domain" not ilike '%shop-3.%' or access_token not like 'fresh%')`, "refuses the token by its constraint no_fresh"},
		"unique": {`create unique index on app."Shops" (access_token); insert into app."Shops" ("shop domain", access_token, uninstalled) values ('other', 'fresh-4-1', true)`, `by its constraint Shops_access_token_idx`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, claims := claimBound(t, 9)
			var minted, proven []store.Outcome
			for _, c := range claims {
				minted, proven = append(minted, exchanged(c)), append(proven, r.proven(c))
			}
			r.write(t, store.Written, minted...)
			r.onApp(t, tc.breaks)
			verdicts, err := r.WriteOutcomes(t.Context(), proven)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range verdicts {
				if want := map[bool]store.Verdict{true: store.RowRefused, false: store.Written}[claims[i].Domain == domain(3)]; v != want {
					t.Errorf("%s: verdict %d, want %d", claims[i].Domain, v, want)
				}
			}
			r.stays(t, 3, rotation.ClassOurs, tc.says)
			if i := r.item(t, domain(3)); strings.Contains(strings.ToLower(fmt.Sprint(i)), "fresh-") || strings.Contains(i.Detail, "token-3") {
				t.Errorf("the item shows a token: %+v", i)
			}
			for i := range 9 {
				want := fresh(claimOf(t, claims, i)).Reveal()
				if i == 3 {
					want = "token-3"
				}
				if got := r.column(t, i, "access_token"); got != want {
					t.Errorf("shop %d: the app has %s, want %s", i, got, want)
				}
			}
		})
	}
}

func TestARowThatRefusesForeverIsParked(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 1)
	r.write(t, store.Written, exchanged(claims[0]))
	r.onApp(t, `alter table app."Shops" add constraint no_fresh check (access_token not like 'fresh%')`)
	proof := r.proven(claims[0])
	proof.Claim.Tries = 8
	verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{proof})
	if err != nil || verdicts[0] != store.RowRefused {
		t.Fatalf("verdicts %v, %v", verdicts, err)
	}
	if i := r.item(t, domain(0)); i.State != rotation.ItemParked || i.Class != rotation.ClassOurs {
		t.Errorf("item %+v", i)
	}
	// The minted token is not lost: waiving makes it current here, and the row
	// is told apart from one that was restored.
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.Waive(ctx, "test", r.run.ID, domain(0), "accepted")
	})
	if got := r.token(t, domain(0)); got != fresh(claims[0]).Reveal() {
		t.Errorf("%s is stored", got)
	}
	if reading := r.read(t); reading.Behind != 1 || reading.Restored != 0 {
		t.Errorf("reading %+v", reading)
	}
	r.onApp(t, `alter table app."Shops" drop constraint no_fresh`)
	if reading := r.read(t); reading.Behind != 0 || reading.Restored != 1 {
		t.Errorf("reading %+v", reading)
	}
	if got := r.column(t, 0, "access_token"); got != fresh(claims[0]).Reveal() {
		t.Errorf("the app has %s", got)
	}
}

// A cancelled run makes minted tokens current: in the app's rows too.
func TestACancelWritesTheAppsRows(t *testing.T) {
	t.Parallel()
	for what, breaks := range map[string]string{"as it is": "select 1", "without its table": `drop table app."Shops"`} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, claims := claimBound(t, 2)
			r.write(t, store.Written, exchanged(claims[0]))
			r.onApp(t, breaks)
			r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, "test", r.reread(t)) })
			if got := r.token(t, claims[0].Domain); got != fresh(claims[0]).Reveal() {
				t.Errorf("%s is stored", got)
			}
			if breaks == "select 1" && (r.column(t, 0, "access_token") != fresh(claims[0]).Reveal() || r.column(t, 1, "access_token") != "token-1") {
				t.Errorf("the app has %s and %s", r.column(t, 0, "access_token"), r.column(t, 1, "access_token"))
			}
		})
	}
}

// A superseded worker's proof must not reach the app's row.
func TestALateProofDoesNotReachTheRow(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 2)
	r.write(t, store.Written, exchanged(claims[0]), exchanged(claims[1]))
	late := claims[0]
	exec(t, r.DB, "update rotator.items set attempt = attempt + 1 where run_id = $1 and position = $2", r.run.ID, late.Position)
	verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{r.proven(late), r.proven(claims[1])})
	if err != nil || verdicts[0] != store.Fenced || verdicts[1] != store.Written {
		t.Fatalf("verdicts %v, %v", verdicts, err)
	}
	if got := r.column(t, 0, "access_token"); got != "token-0" {
		t.Errorf("the app has %s", got)
	}
	// Nor one whose shop was given another token here.
	r.replace(t, claims[0].Domain, "imported", 0)
	c := claims[0]
	c.Attempt++
	verdicts, err = r.WriteOutcomes(t.Context(), []store.Outcome{r.proven(c)})
	if err != nil || verdicts[0] != store.Replaced {
		t.Fatalf("verdicts %v, %v", verdicts, err)
	}
	if got := r.column(t, 0, "access_token"); got != "token-0" {
		t.Errorf("the app has %s", got)
	}
}
