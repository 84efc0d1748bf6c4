package haravan

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMetaRead(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		header http.Header
		want   Meta
	}{
		"current":        {http.Header{"X-Haravan-Api-Call-Limit": {"32/80"}}, Meta{Used: 32, Size: 80}},
		"old":            {http.Header{"X-Haravan-Shop-Api-Call-Limit": {"1/40"}}, Meta{Used: 1, Size: 40}},
		"both":           {http.Header{"X-Haravan-Api-Call-Limit": {"2/80"}, "X-Haravan-Shop-Api-Call-Limit": {"1/40"}}, Meta{Used: 2, Size: 80}},
		"current broken": {http.Header{"X-Haravan-Api-Call-Limit": {"x"}, "X-Haravan-Shop-Api-Call-Limit": {"1/40"}}, Meta{Used: 1, Size: 40}},
		"none":           {http.Header{}, Meta{}},
		"date": {
			http.Header{"Date": {"Sun, 22 Nov 2026 08:00:00 GMT"}},
			Meta{Date: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)},
		},
		"date broken": {http.Header{"Date": {"yesterday"}}, Meta{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got Meta
			got.read(tt.header)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseCallLimitRefuses(t *testing.T) {
	t.Parallel()
	if used, size, ok := parseCallLimit(" 81 / 80 "); !ok || used != 81 || size != 80 {
		t.Errorf("a bucket run over: %d/%d %v", used, size, ok)
	}
	for _, s := range []string{"", "/", "32", "32/", "/80", "a/80", "32/b", "-1/80", "1/0", "1/-80", "1/2/3", "1.5/80", "99999999999999999999/80", "9223372036854775807/80", "0/9223372036854775807"} {
		if used, size, ok := parseCallLimit(s); ok {
			t.Errorf("parseCallLimit(%q) = %d/%d", s, used, size)
		}
	}
}

func FuzzCallLimit(f *testing.F) {
	f.Add("32/80")
	f.Add("-1/-1")
	f.Fuzz(func(t *testing.T, limit string) {
		if used, size, ok := parseCallLimit(limit); ok && (used < 0 || size <= 0) {
			t.Fatalf("call limit %q: %d/%d", limit, used, size)
		}
	})
}
