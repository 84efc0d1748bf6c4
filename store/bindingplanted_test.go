package store_test

import (
	"fmt"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Under the sealed codec no token travels in the clear to the app's table
// either; under any codec none gets into rotator's tables or its errors.
func TestNoPlantedTokenOfABoundTableIsStoredOrTold(t *testing.T) {
	t.Parallel()
	for _, codec := range []store.Codec{store.CodecPlain, store.CodecSealed} {
		t.Run(string(codec), func(t *testing.T) {
			t.Parallel()
			r := newBoundRig(t, 3, func(b *store.Binding) { b.Codec = codec })
			values := []string{"token-0", "token-1", "token-2", "fresh-", "planted legacy", "planted-install"}
			heard := &listener{}
			r.DB = traced(t, r.DB, heard)

			r.onApp(t, `insert into app."Shops" ("shop domain", access_token, legacy_token) values ('bad', 'token-2', 'planted legacy')`)
			reading := r.read(t)
			r.begin(t, 3)
			claims := r.claimOpen(t)
			r.onApp(t, `update app."Shops" set access_token = 'planted-install' where id = 2`)
			var minted, proven []store.Outcome
			for _, c := range claims {
				minted, proven = append(minted, exchanged(c)), append(proven, r.proven(c))
			}
			r.write(t, store.Written, minted...)
			if _, err := r.WriteOutcomes(t.Context(), proven); err != nil {
				t.Fatal(err)
			}
			r.onApp(t, `alter table app."Shops" add constraint never check (access_token not like '%x%') not valid; alter table app."Shops" drop column oauth_token`)
			c := r.claimDue(t, domain(1))
			r.write(t, store.Written, exchanged(c))
			if verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{r.proven(c)}); err != nil || verdicts[0] != store.TableFailed {
				t.Fatalf("%v, %v", verdicts, err)
			}
			_, err := r.sync(t)
			if found := planted(fmt.Sprintf("%v %+v %#v %+v %+v", err, err, err, reading, r.item(t, domain(1))), values); err == nil || found != nil {
				t.Errorf("told %q: %v", found, err)
			}
			for _, table := range ask[string](t, r.admin, "select tablename::text from pg_tables where schemaname = 'rotator'") {
				for _, row := range ask[string](t, r.admin, "select t::text from rotator."+table+" t") {
					if found := planted(row, values); found != nil {
						t.Errorf("table %s shows %q", table, found)
					}
				}
			}
			if r.item(t, domain(0)).State != rotation.ItemProven {
				t.Error("nothing was written")
			}
			clear := 0
			heard.mu.Lock()
			defer heard.mu.Unlock()
			for _, text := range heard.sent {
				if planted(text, values) != nil {
					clear++
				}
			}
			if (clear > 0) != (codec == store.CodecPlain) {
				t.Errorf("%d statements carry a token", clear)
			}
		})
	}
}
