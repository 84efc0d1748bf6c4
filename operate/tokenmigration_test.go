package operate_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// stored is what a plan reads, given as it is.
type stored struct {
	rows    []shopfile.Row
	secrets []store.Secret
	sealed  error
	runs    []store.Run
	binding *store.Binding
	check   store.BoundCheck
}

func (s stored) Binding(context.Context, int64) (store.Binding, error) {
	if s.binding == nil {
		return store.Binding{}, store.ErrNotBound
	}
	return *s.binding, nil
}

func (s stored) CheckBinding(context.Context, store.Binding, bool) (store.BoundCheck, error) {
	return s.check, nil
}

func (s stored) Legacy(context.Context, int64) (store.Legacy, error) {
	l := store.Legacy{Shops: len(s.rows)}
	for _, r := range s.rows {
		legacy := !r.LegacyToken.IsZero() || !r.LegacyPassword.IsZero()
		switch {
		case !r.LegacyToken.IsZero():
			l.Tokens++
		case legacy:
			l.Passwords++
		}
		switch {
		case r.ExcludedReason != "":
			l.Excluded++
		case !r.AccessToken.IsZero():
			l.WithOAuth++
		case legacy:
			l.Underived++
		default:
			l.Neither++
		}
	}
	return l, nil
}

func (s stored) Secrets(context.Context, int64) ([]store.Secret, error) { return s.secrets, nil }

func (s stored) SecretValue(context.Context, int64) (secret.String, error) {
	return secret.New("hush"), s.sealed
}

func (s stored) OpenRuns(context.Context) ([]store.Run, error) { return s.runs, nil }

func (s stored) ExportShops(_ context.Context, _ int64, yield func(shopfile.Row) error) error {
	for _, r := range s.rows {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

func token(shop, legacy string) shopfile.Row {
	return shopfile.Row{Domain: shop, LegacyToken: secret.New(legacy)}
}

var (
	retiring = store.Secret{ID: 1, Version: 1, State: store.SecretRetiring}
	revoked  = store.Secret{ID: 1, Version: 1, State: store.SecretRevoked}
	active   = store.Secret{ID: 2, Version: 2, State: store.SecretActive}
)

func TestMigrationPlanCountsByWhatWouldBecomeOfAShop(t *testing.T) {
	t.Parallel()
	rows := []shopfile.Row{
		token("a", "0123"), token("b", "4567"), token("c", "plant ed"), token("d", "plant\x00ed"),
		{Domain: "e", LegacyPassword: secret.New("word")},
		{Domain: "f", LegacyPassword: secret.New("plänted")},
		{Domain: "g", AccessToken: secret.New("oauth"), LegacyToken: secret.New("not looked at")},
		{Domain: "h", LegacyToken: secret.New("nor this"), ExcludedReason: "test shop"},
		{Domain: "i"},
	}
	app := store.App{Name: "main", Settings: store.AppSettings{Scopes: []string{"read_orders", "read_shop"}}}
	p, err := operate.MakeMigrationPlan(t.Context(), stored{rows: rows, secrets: []store.Secret{retiring, active}}, app, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := operate.MigrationPlan{
		Shops: 9, Derive: 2, Unchanged: 1, Malformed: 3, WithOAuth: 1, Neither: 1, Excluded: 1,
		MalformedShops: []operate.MalformedShop{
			{Domain: "c", Problem: "the legacy value has white space at byte 6 of 8"},
			{Domain: "d", Problem: "the legacy value has a NUL byte at byte 6 of 8"},
			{Domain: "f", Problem: "the legacy value has a character beyond ASCII at byte 3 of 8"},
		},
		SecretVersion: 1, Vectors: true,
		NeededScopes: []string{"read_orders", "read_shop"}, MissingScopes: []string{"read_shop"}, Problems: []string{},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if next := p.Next(); next.Command != "rotator tokenmigration start" || !next.Human {
		t.Errorf("next is %+v", next)
	}
}

// A default that is not the version which the tokens were issued under is said.
func TestMigrationPlanTellsWhatItsSecretVersionMeans(t *testing.T) {
	t.Parallel()
	discarded := store.Secret{ID: 1, Version: 1, State: store.SecretDiscarded}
	for name, tt := range map[string]struct {
		secrets []store.Secret
		version int
		want    string
	}{
		"the oldest":        {[]store.Secret{retiring, active}, 0, ""},
		"the only":          {[]store.Secret{active}, 0, ""},
		"the oldest, named": {[]store.Secret{retiring, active}, 1, ""},
		"revoked is passed": {[]store.Secret{revoked, active}, 0, "not the oldest, version 1 is revoked: legacy tokens that were issued under it can be derived no more"},
		"discarded":         {[]store.Secret{discarded, active}, 0, ""},
		"a later, named":    {[]store.Secret{retiring, active}, 2, "not the oldest, version 1 is retiring: the derived tokens are right only if version 2 was current"},
	} {
		p, err := operate.MakeMigrationPlan(t.Context(), stored{rows: []shopfile.Row{token("a", "0123")}, secrets: tt.secrets}, store.App{ID: 1, Name: "main"}, tt.version)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.SecretNote, tt.want) || (p.SecretNote == "") != (tt.want == "") {
			t.Errorf("%s: %q, want %q", name, p.SecretNote, tt.want)
		}
	}
}

var bound = store.Binding{Schema: "s", Table: "t", OAuth: "o"}

func TestMigrationPlanTellsAllThatKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	derivable := []shopfile.Row{token("a", "0123")}
	tests := map[string]struct {
		stored
		version int
		want    []string
	}{
		"all is well":        {stored{rows: derivable, secrets: []store.Secret{retiring, active}}, 0, nil},
		"the other version":  {stored{rows: derivable, secrets: []store.Secret{retiring, active}}, 2, nil},
		"revoked is passed":  {stored{rows: derivable, secrets: []store.Secret{revoked, active}}, 0, nil},
		"revoked is named":   {stored{rows: derivable, secrets: []store.Secret{revoked, active}}, 1, []string{"secret version 1 is revoked: a token that is derived from it is dead; stored: 1 (revoked), 2 (active)"}},
		"unknown version":    {stored{rows: derivable, secrets: []store.Secret{active}}, 3, []string{"there is no secret version 3; stored: 2 (active)"}},
		"discarded is named": {stored{rows: derivable, secrets: []store.Secret{{ID: 1, Version: 1, State: store.SecretDiscarded}, active}}, 1, []string{"secret version 1 is discarded: its value is shredded"}},
		"all are revoked":    {stored{rows: derivable, secrets: []store.Secret{revoked}}, 0, []string{"every stored secret is revoked"}},
		"does not open":      {stored{rows: derivable, secrets: []store.Secret{active}, sealed: errors.New("wrong key")}, 0, []string{"secret version 2 cannot be used: wrong key"}},
		"a rotation is open": {
			stored{rows: derivable, secrets: []store.Secret{active}, runs: []store.Run{{ID: 3, AppID: 1, Kind: rotation.KindRotation, Phase: rotation.PhaseArmed}, {ID: 4, AppID: 2}}},
			0,
			[]string{"run 3 of this app is open, a rotation in phase armed"},
		},
		"a table in order": {stored{rows: derivable, secrets: []store.Secret{active}, binding: &bound}, 0, nil},
		"no OAuth column": {
			stored{rows: derivable, secrets: []store.Secret{active}, binding: &store.Binding{Schema: "s", Table: "t", Key: "k", Domain: "d", Access: "a", Where: "x = 'y'", Codec: store.CodecSealed}},
			0,
			[]string{"bind it again with `rotator shop bind --table s.t --key k --domain d --access-token a --oauth-token oauth_token --create-column --where 'x = '\\''y'\\''' --codec sealed`"},
		},
		"a right is missing": {
			stored{rows: derivable, secrets: []store.Secret{active}, binding: &bound, check: store.BoundCheck{Problems: []string{"one", "two"}, Grants: []string{"grant it"}}},
			0,
			[]string{"the bound table s.t is not in order: one; two; let its owner run: grant it"},
		},
		"nothing at all":   {stored{}, 0, []string{"no shop is stored", "the app's secret is not stored"}},
		"no legacy token":  {stored{rows: []shopfile.Row{{Domain: "a", AccessToken: secret.New("x")}}, secrets: []store.Secret{active}}, 0, []string{"none of 1 stored shops has a legacy token"}},
		"all have another": {stored{rows: []shopfile.Row{{Domain: "a", AccessToken: secret.New("x"), LegacyToken: secret.New("y")}}, secrets: []store.Secret{active}}, 0, []string{"1 have an OAuth token already, 0 are excluded"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := operate.MakeMigrationPlan(t.Context(), tt.stored, store.App{ID: 1, Name: "main"}, tt.version)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Problems) != len(tt.want) {
				t.Fatalf("problems %q, want %q", p.Problems, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(p.Problems[i], want) {
					t.Errorf("problem %q does not say %q", p.Problems[i], want)
				}
			}
			if next := p.Next(); (next.Command == "") != (len(tt.want) > 0) || next.Why == "" {
				t.Errorf("next is %+v", next)
			}
		})
	}
}
