package shopfile

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
)

// drawRows draws rows as the store could hold them.
func drawRows(t *rapid.T) []Row {
	name := rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`)
	credential := rapid.Custom(func(t *rapid.T) secret.String {
		s := rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "credential")
		if credentialFault(s) != "" {
			s = "x" // a word for nothing, such as "nil"
		}
		return secret.New(s)
	})
	reason := rapid.Custom(func(t *rapid.T) string {
		s, message := parseReason(rapid.StringN(1, 60, -1).Draw(t, "reason") + rapid.SampledFrom([]string{"", "\nx", "\"", ",x"}).Draw(t, "tail"))
		if message != "" || s == "" {
			s = "đóng \"cửa\",\n=1+1"
		}
		return s
	})
	n := rapid.IntRange(0, 20).Draw(t, "rows")
	rows := make([]Row, n)
	for i := range rows {
		r := Row{Domain: name.Draw(t, "name") + shopdomain.Suffix}
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			r.AccessToken = credential.Draw(t, "token")
		case 1:
			r.LegacyToken = credential.Draw(t, "token")
		case 2:
			r.LegacyPassword = credential.Draw(t, "token")
		case 3:
			r.AccessToken, r.LegacyToken = credential.Draw(t, "token"), credential.Draw(t, "token")
		case 4:
			r.ExcludedReason = reason.Draw(t, "reason")
		}
		if rapid.Bool().Draw(t, "optional") {
			r.OrgID = rapid.Int64Min(1).Draw(t, "org")
			r.InstalledAt = time.Unix(rapid.Int64Range(946684800, 253402300799).Draw(t, "at"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
			r.ExcludedReason = reason.Draw(t, "reason")
			priority := rapid.IntRange(-maxPriority, maxPriority).Draw(t, "priority")
			r.Priority = &priority
		}
		rows[i] = r
	}
	return rows
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		want := drawRows(rt)
		format := rapid.SampledFrom([]Format{CSV, JSONL}).Draw(rt, "format")
		columns := rapid.Permutation(Columns()).Draw(rt, "columns")

		var file bytes.Buffer
		w, err := NewWriter(&file, format, columns)
		if err != nil {
			rt.Fatal(err)
		}
		for _, row := range want {
			if err := w.Write(row); err != nil {
				rt.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			rt.Fatal(err)
		}
		if len(want) == 0 && format == JSONL {
			return // nothing was written, and Readers refuse an empty file
		}
		got, problems, err := readAll(t, &file, Auto)
		if err != nil || len(problems) > 0 {
			rt.Fatalf("error %v, problems %v", err, problems)
		}
		for i := range got {
			got[i].Line = 0
		}
		if len(want) == 0 {
			want = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("rows (-written +read):\n%s", diff)
		}
	})
}

func TestWrittenText(t *testing.T) {
	t.Parallel()
	minus := -7
	rows := []Row{
		{Line: 9, Priority: &minus, Domain: "a.myharavan.com", AccessToken: secret.New("=t,1"), OrgID: 200000123456, InstalledAt: time.Date(2024, 5, 31, 8, 30, 0, 0, time.FixedZone("", 7*3600))},
		{Domain: "b.myharavan.com", LegacyPassword: secret.New(`p"\<`), ExcludedReason: "đóng\ncửa"},
	}
	tests := []struct {
		name    string
		format  Format
		columns []string
		want    string
	}{
		{
			"CSV", CSV, nil,
			"domain,access_token,org_id,legacy_token,legacy_password,installed_at,excluded_reason,priority\n" +
				"a.myharavan.com,\"=t,1\",200000123456,,,2024-05-31T01:30:00Z,,-7\n" +
				"b.myharavan.com,,,,\"p\"\"\\<\",,\"đóng\ncửa\",\n",
		},
		{
			"JSON Lines", JSONL, nil,
			`{"domain":"a.myharavan.com","access_token":"=t,1","org_id":200000123456,"installed_at":"2024-05-31T01:30:00Z","priority":-7}` + "\n" +
				`{"domain":"b.myharavan.com","legacy_password":"p\"\\\u003c","excluded_reason":"đóng\ncửa"}` + "\n",
		},
		{"chosen columns", CSV, []string{"access_token", "DOMAIN"}, "access_token,domain\n\"=t,1\",a.myharavan.com\n,b.myharavan.com\n"},
		{"chosen columns as objects", JSONL, []string{"access_token", "domain"}, `{"access_token":"=t,1","domain":"a.myharavan.com"}` + "\n" + `{"domain":"b.myharavan.com"}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			w, err := NewWriter(&b, tt.format, tt.columns)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if err := w.Write(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errDiskFull }

func TestWriterErrors(t *testing.T) {
	t.Parallel()
	_, err := NewWriter(&bytes.Buffer{}, Auto, []string{"token", "org_id", "org_id"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{`column "token" is none`, "org_id is named twice", "column domain is missing", `format "auto" is none`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	for _, format := range []Format{CSV, JSONL} {
		w, err := NewWriter(fullDisk{}, format, nil)
		if err != nil {
			t.Fatal(err)
		}
		row := Row{Domain: "a.myharavan.com", AccessToken: secret.New("hush")}
		for range 2000 { // more than the buffer
			if err = w.Write(row); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%s: no write told of the full disk", format)
		}
		if err := w.Flush(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: flush: %v", format, err)
		}
	}
}
