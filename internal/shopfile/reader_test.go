package shopfile

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// readAll reads a whole list; rows and problems come back apart.
func readAll(t testing.TB, in io.Reader, format Format) (rows []Row, problems []Problem, end error) {
	t.Helper()
	r := NewReader(in, ReadOptions{Format: format})
	for {
		row, err := r.Next()
		var bad *BadRow
		switch {
		case errors.As(err, &bad):
			problems = append(problems, bad.Problems...)
		case err == io.EOF:
			return rows, problems, nil
		case err != nil:
			return rows, problems, err
		default:
			rows = append(rows, row)
		}
	}
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func TestRows(t *testing.T) {
	t.Parallel()
	plain := []Row{
		{Line: 2, Domain: "a.myharavan.com", AccessToken: secret.New("t1")},
		{Line: 3, Domain: "b.myharavan.com", AccessToken: secret.New("t2")},
	}
	full := Row{
		Line: 2, Domain: "a.myharavan.com", OrgID: 200000123456, AccessToken: secret.New("t1"), LegacyToken: secret.New("l1"),
		InstalledAt: time.Date(2024, 5, 31, 1, 30, 0, 0, time.UTC), ExcludedReason: "đóng cửa, \"tạm\"\nthời",
	}
	tests := []struct {
		name, in string
		want     []Row
	}{
		{"plain", "domain,access_token\na.myharavan.com,t1\nb.myharavan.com,t2\n", plain},
		{"no last line end", "domain,access_token\na.myharavan.com,t1\nb.myharavan.com,t2", plain},
		{"CRLF", "domain,access_token\r\na.myharavan.com,t1\r\nb.myharavan.com,t2\r\n", plain},
		{"last carriage return without a line feed", "domain,access_token\na,t1\nb,t2\r", plain},
		{"byte order mark", "\ufeffdomain,access_token\na,t1\nb,t2\n", plain},
		{"other order and case", "Access_Token, DOMAIN\nt1,HTTPS://A.myharavan.com/\nt2,b\n", plain},
		{"quoted", "\"domain\",\"access_token\"\n\"a\",\"t1\"\n\"b\",t2\n", plain},
		{
			"blank lines, and the empty records of spreadsheets", "\n  \ndomain,access_token\n\n,\r\n \t \na,t1\n,\n\n",
			[]Row{{Line: 7, Domain: "a.myharavan.com", AccessToken: secret.New("t1")}},
		},
		{
			"line numbers after quoted line breaks",
			"domain,access_token,excluded_reason\na,t1,\"x\r\ny\nz\"\nb,t2,\n",
			[]Row{
				{Line: 2, Domain: "a.myharavan.com", AccessToken: secret.New("t1"), ExcludedReason: "x\ny\nz"},
				{Line: 5, Domain: "b.myharavan.com", AccessToken: secret.New("t2")},
			},
		},
		{
			"every column",
			"domain,org_id,access_token,legacy_token,legacy_password,installed_at,excluded_reason\n" +
				"a,200000123456,t1,l1,,2024-05-31T08:30:00+07:00,\"đóng cửa, \"\"tạm\"\"\nthời\"\n",
			[]Row{full},
		},
		{
			"excluded without a credential", "domain,excluded_reason\na,closed\n",
			[]Row{{Line: 2, Domain: "a.myharavan.com", ExcludedReason: "closed"}},
		},
		{
			"legacy password and a date", "domain,legacy_password,installed_at\na,p,2015-01-02\n",
			[]Row{{Line: 2, Domain: "a.myharavan.com", LegacyPassword: secret.New("p"), InstalledAt: day(2015, 1, 2)}},
		},
		{"header only", "domain,access_token\n", nil},

		{"objects", "\n{\"domain\":\"a\",\"access_token\":\"t1\"}\n{\"access_token\" : \"t2\" , \"domain\":\"b\"}", plain},
		{"objects with CRLF, a mark and blanks", "\ufeff\r\n {\"domain\":\"a\",\"access_token\":\"t1\"} \r\n{\"domain\":\"b\",\"access_token\":\"t2\",\"org_id\":null}\r\n\r\n", plain},
		{
			"object with every field, escapes and a number",
			"\n" + `{"domain":"\u0061","org_id":200000123456,"access_token":"t\u0031","legacy_token":"l1","legacy_password":null,"installed_at":"2024-05-31T01:30:00Z","excluded_reason":"đóng cửa, \"tạm\"\r\nth\u1eddi"}`,
			[]Row{full},
		},
		{
			"organisation number in a string", `{"domain":"a","access_token":"t","org_id":" 200000123456 "}`,
			[]Row{{Line: 1, Domain: "a.myharavan.com", AccessToken: secret.New("t"), OrgID: 200000123456}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			readers := map[string]io.Reader{
				"whole":         strings.NewReader(tt.in),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(tt.in)),
				"data with end": iotest.DataErrReader(strings.NewReader(tt.in)),
			}
			for name, in := range readers {
				rows, problems, err := readAll(t, in, Auto)
				if err != nil || len(problems) > 0 {
					t.Fatalf("%s: error %v, problems %v", name, err, problems)
				}
				// secret.String's Equal method lets cmp compare the values.
				if diff := cmp.Diff(tt.want, rows); diff != "" {
					t.Errorf("%s: rows (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	const head = "domain,access_token,org_id,legacy_token,legacy_password,installed_at,excluded_reason\n"
	tests := []struct {
		name, in string
		want     []string
		good     int // rows that are read all the same
	}{
		{
			"all problems of a row at once",
			head + "a b,t k,x,l,p,yesterday,\x07\n",
			[]string{
				"line 2: domain: shop's name has characters",
				"line 2: access_token: has white space at character 2",
				"line 2: org_id: is not a whole number from 1",
				"line 2: installed_at: is not a time: write 2024",
				"line 2: excluded_reason: has a character that cannot be printed at character 1",
				"line 2: legacy_password: is given beside legacy_token",
			},
			0,
		},
		{"no credential", head + "a.myharavan.com,,,,,,\nb,t,,,,,\n", []string{"line 2: a.myharavan.com: access_token: is empty: give"}, 1},
		{"blank reason", head + "a,,,,,, \n", []string{"line 2: access_token: is empty"}, 0},
		{"blank credential", head + "a, ,,,,,\n", []string{"line 2: access_token: has white space at character 1"}, 0},
		{"domain of another host", head + "evil.example,t,,,,,\n", []string{"line 2: domain: shop domain is another host"}, 0},
		{"no domain", head + ",t,,,,,\n", []string{"line 2: domain: shop domain is empty"}, 0},
		{"swapped columns", head + "0cafe,a.myharavan.com,,,,,\n", []string{"line 2: access_token: is a shop's domain: the columns seem to be swapped"}, 0},
		{"control character", head + "a,t\x01,,,,,\n", []string{"line 2: access_token: has a control character at character 2"}, 0},
		{"invisible character", head + "a,t\u200b,,,,,\n", []string{"line 2: access_token: has a character outside ASCII at character 2"}, 0},
		{"hidden token", head + "a,[redacted],,,,,\n", []string{"line 2: access_token: is the mark of a hidden token"}, 0},
		{"word for nothing", head + "a,NULL,,,,,\na,\\N,,,,,\n", []string{"line 2: access_token: is another program's word", "line 3: access_token: is another program's word"}, 0},
		{"long token", head + "a," + strings.Repeat("t", 4097) + ",,,,,\n", []string{"line 2: access_token: is longer than 4096"}, 0},
		{"rounded number", head + "a,t,2.00E+11,,,,\n", []string{"line 2: org_id: is not a whole number: a spreadsheet may have rounded it"}, 0},
		{"number out of range", head + "a,t,9223372036854775808,,,,\na,t,0,,,,\na,t,-1,,,,\na,t,+1,,,,\n", []string{"line 2: org_id", "line 3: org_id", "line 4: org_id", "line 5: org_id"}, 0},
		{
			"priorities", "domain,access_token,priority\na,t,first\nb,t,1.5\nc,t,1000001\nd,t,-1000001\ne,t,+1\nf,t, -1000000 \ng,t,\n",
			[]string{
				"line 2: priority: is not a whole number from -1000000 to 1000000: the higher", "line 3: priority", "line 4: priority",
				"line 5: priority", "line 6: priority",
			},
			2,
		},
		{"priorities of objects", `{"domain":"a","access_token":"t","priority":1e1}` + "\n" + `{"domain":"b","access_token":"t","priority":[]}` + "\n" + `{"domain":"c","access_token":"t","priority":"10"}`, []string{"line 1: priority: is not a whole number", "line 2: priority: must be a number"}, 1},
		{"date for none", head + "a,t,,,,1970-01-01,\n", []string{"line 2: installed_at: is before the year 2000"}, 0},
		{"long reason", head + "a,t,,,,," + strings.Repeat("ầ", 501) + "\n", []string{"line 2: excluded_reason: is longer than 500 characters"}, 0},
		{"not UTF-8, by column and line", head + "a,t,,,,,caf\xe9\nb,t,,,,,\n\xe9,t,,,,,\n", []string{"line 2: excluded_reason: is not UTF-8", "line 4: domain: is not UTF-8"}, 1},
		{"NUL", head + "a,t,,,,,\x00\nb,t,,,,,\n", []string{"line 2: holds a NUL byte"}, 1},
		{"field count", head + "a,t\nb,t,,,,,,\nc\nd,t,,,,,\n", []string{"line 2: has 2 fields where the header names 7", "line 3: has 8 fields", "line 4: has 1 field where"}, 1},
		{"quote inside a field", head + "a,t\"x,,,,,\nb,t,,,,,\n", []string{"line 2: has a quote inside a field without quotes"}, 1},
		{"text after a quote", head + "a,\"t\"x,,,,,\nb,t,,,,,\n", []string{"line 2: has text after a closing quote"}, 1},
		{"quote not closed at the end", head + "a,t,,,,,\"x\nb,t,,,,,\nc,t,,,,,\n", []string{"line 2: has a quote that is not closed"}, 2},
		{"quote not closed for long", head + "a,t,,,,,\"x\n" + strings.Repeat("b,t,,,,,\n", 20000), []string{"line 2: has a quote that is not closed"}, 20000},
		{"quote that meets another swallows nothing", head + "a,t,,,,,\"x\nb,t,,,,,\nc,t,,,,,\"y\"\n", []string{"line 2: has text after a closing quote"}, 2},
		{"long line", head + "a," + strings.Repeat("t", 300<<10) + ",,,,,\nb,t,,,,,\n", []string{"line 2: is longer than 64 KiB"}, 1},
		{"long line at the end", head + "b,t,,,,,\na," + strings.Repeat("t", 300<<10), []string{"line 3: is longer than 64 KiB"}, 1},

		{
			"fields of an object", `{"domain":"a.myharavan.com","token":"x","note":1,"access_token":7,"org_id":true,"installed_at":["[",{"}":"]"}]}`,
			[]string{
				"line 1: a.myharavan.com: access_token: must be a string",
				"line 1: a.myharavan.com: org_id: must be a number, or a number in a string",
				"line 1: a.myharavan.com: installed_at: must be a string",
				`line 1: a.myharavan.com: field 2 "token" is not known: call it access_token`,
				`line 1: a.myharavan.com: field 3 "note" is not known`,
			},
			0,
		},
		{"repeated name", `{"domain":"a","access_token":"x","Access_Token":"y"}`, []string{"line 1: access_token: is given twice in one object"}, 0},
		{"misnamed domain", `{"shop":"a","access_token":"x"}`, []string{`line 1: field 1 "shop" is not known: call it domain`, "line 1: there is no field domain"}, 0},
		{"no fields", "{}", []string{"line 1: domain: shop domain is empty", "line 1: access_token: is empty"}, 0},
		{"fraction", `{"domain":"a","access_token":"x","org_id":2.5e11}`, []string{"line 1: org_id: is not a whole number"}, 0},
		{"object over several lines", "{\n\"domain\":\"a\"\n}\n", []string{"line 1: ends inside the JSON object", "line 2: is not a JSON object", "line 3: is not a JSON object"}, 0},
		{"lone surrogate", `{"domain":"a","access_token":"x\ud800"}`, []string{"line 1: access_token: has a character outside ASCII at character 2"}, 0},
		{
			"broken objects",
			strings.Join([]string{
				`{"domain":"a","access_token":"t"}`, `{"domain":"a"`, `{"domain"`, `{"domain":`, `{"domain:`, `{domain:"a"}`, `{"domain":"a",}`, `{"domain":"a"} x`,
				`{"domain":01}`, `{"domain":nul}`, `{"domain":"a\q"}`, "{\"domain\":\"a\tb\"}", `{"domain":[1,2}`, `{"domain":["`, "x", "\xff", "{\"domain\":\"\x00\"}", `{"domain"="a"}`,
				`{"domain":"a" "b"}`, `{"domain":}`, `{"domain":"a"}{}`, `{"domain":{"\`,
			}, "\n"),
			[]string{
				"line 2: ends inside", "line 3: ends inside", "line 4: ends inside", "line 5: ends inside", "line 6: is not valid", "line 7: is not valid", "line 8: has text after",
				"line 9: is not valid", "line 10: is not valid", "line 11: is not valid", "line 12: is not valid", "line 13: ends inside", "line 14: ends inside",
				"line 15: is not a JSON object", "line 16: is not UTF-8", "line 17: holds a NUL", "line 18: is not valid", "line 19: is not valid", "line 20: is not valid", "line 21: has text after", "line 22: ends inside",
			},
			1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rows, problems, err := readAll(t, strings.NewReader(tt.in), Auto)
			if err != nil {
				t.Fatalf("reading ended: %v", err)
			}
			var got []string
			for i, p := range problems {
				s := p.String()
				if i < len(tt.want) && strings.HasPrefix(s, tt.want[i]) {
					s = tt.want[i]
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want, as prefixes, +got):\n%s", diff)
			}
			if len(rows) != tt.good {
				t.Errorf("%d good rows, want %d", len(rows), tt.good)
			}
		})
	}
}

func TestLongestRecord(t *testing.T) {
	t.Parallel()
	const head = "domain,excluded_reason\n"
	// The record "a,<spaces>x\n" is exactly as long as allowed, then one more.
	fit := head + "a," + strings.Repeat(" ", maxRecord-4) + "x\n"
	rows, problems, err := readAll(t, strings.NewReader(fit), CSV)
	if err != nil || len(problems) > 0 || len(rows) != 1 || rows[0].ExcludedReason != "x" {
		t.Errorf("record of %d bytes: rows %v, problems %v, error %v", maxRecord, rows, problems, err)
	}
	_, problems, err = readAll(t, strings.NewReader(strings.Replace(fit, "a,", "aa,", 1)), CSV)
	if err != nil || len(problems) != 1 || problems[0].Line != 2 {
		t.Errorf("record of %d bytes: problems %v, error %v", maxRecord+1, problems, err)
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("cable pulled")
	in := io.MultiReader(strings.NewReader("domain,access_token\na,t\nb,cut-of"), iotest.ErrReader(broken))
	r := NewReader(in, ReadOptions{})
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the end is final
		_, err := r.Next()
		var fe *FileError
		if !errors.As(err, &fe) || fe.Line != 3 || !errors.Is(err, broken) {
			t.Errorf("error %v, want a FileError of line 3 that wraps %v", err, broken)
		}
	}
}

type silentReader struct{}

func (silentReader) Read([]byte) (int, error) { return 0, nil }

func TestReaderWithoutProgress(t *testing.T) {
	t.Parallel()
	if _, _, err := readAll(t, silentReader{}, Auto); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want %v", err, io.ErrNoProgress)
	}
}
