package shopfile

import (
	"errors"
	"strings"
	"testing"
)

func TestFileErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		format   Format
		line     int
		want     []string // parts of the text
	}{
		{"empty", "", Auto, 0, []string{"empty"}},
		{"blank", "\n \r\n\t", Auto, 0, []string{"empty"}},
		{"mark only", "\ufeff", Auto, 0, []string{"empty"}},
		{"UTF-16 little endian", "\xff\xfed\x00", Auto, 0, []string{"UTF-16", "save the file as UTF-8"}},
		{"UTF-16 big endian", "\xfe\xff\x00d", Auto, 0, []string{"UTF-16"}},
		{"UTF-16 without a mark", "d\x00o\x00m\x00a\x00\n\x00", Auto, 1, []string{"UTF-16"}},
		{"workbook", "PK\x03\x04rest", Auto, 0, []string{"workbook", "save it as CSV"}},
		{"old workbook", "\xd0\xcf\x11\xe0rest", Auto, 0, []string{"workbook"}},
		{"gzip", "\x1f\x8b\x08\x00", Auto, 0, []string{"gzip -dc"}},
		{"zstd", "\x28\xb5\x2f\xfd", Auto, 0, []string{"zstd -dc"}},
		{"Latin-1 header", "\ndomain,caf\xe9\n", Auto, 2, []string{"not UTF-8"}},
		{"no line in 64 KiB", strings.Repeat("x", 100<<10), Auto, 1, []string{"longer than 64 KiB"}},
		{"JSON list", ` [{"domain":"a"}]`, Auto, 1, []string{"JSON list", "jq -c"}},
		{"CSV read as JSON Lines", "domain,access_token\n", JSONL, 1, []string{"not JSON Lines", "csv"}},
		{"JSON Lines read as CSV", `{"domain":"a"}`, CSV, 1, []string{"quote inside a field"}},
		{"bare object read as CSV", `{}`, CSV, 1, []string{"JSON", "jsonl"}},
		{"unclosed quote in the header", "\"domain,access_token\na,b\n", Auto, 1, []string{"the header has a quote that is not closed"}},
		{"no header", "a.myharavan.com,hunter2\n", Auto, 1, []string{"no header", "domain,access_token"}},
		{"semicolons", "domain;access_token\n", Auto, 1, []string{"semicolons"}},
		{"tabs", "domain\taccess_token\n", Auto, 1, []string{"tabs"}},
		{"carriage returns", "domain,access_token\ra,t\rb,t\r", Auto, 1, []string{"carriage returns"}},
		{"other names", "shop,token\n", Auto, 1, []string{`column 1 "shop" is not known: call it domain`, `column 2 "token" is not known: call it access_token`, "the columns are domain, access_token"}},
		{"unknown, unnamed and repeated", "domain,Domain,note,,access_token\n", Auto, 1, []string{"column 2 names domain again", `column 3 "note" is not known`, "column 4 has no name"}},
		{"no domain", "access_token,org_id\n", Auto, 1, []string{"there is no column domain"}},
		{"no credential", "domain,org_id\n", Auto, 1, []string{"there is no column access_token, legacy_token"}},
		{"format", "domain,access_token\n", "xml", 0, []string{`"xml" is none: use auto, csv or jsonl`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rows, problems, err := readAll(t, strings.NewReader(tt.in), tt.format)
			if err == nil || len(rows)+len(problems) > 0 {
				t.Fatalf("rows %v, problems %v, error %v: want an error alone", rows, problems, err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			var fe *FileError
			if errors.As(err, &fe) && fe.Line != tt.line {
				t.Errorf("line %d, want %d", fe.Line, tt.line)
			}
			if fe == nil && tt.format != "xml" {
				t.Errorf("%T is no FileError", err)
			}
		})
	}
}

// TestNoErrorShowsAToken puts a token wherever a careless file would have it,
// breaks the file there, and looks at what the errors say.
func TestNoErrorShowsAToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"hushhush", "0cafe0cafe0cafe0cafe0cafe0cafe00", "eyJh.eyJz.c2ln"} {
		for name, in := range map[string]string{
			"no header":           "a.myharavan.com," + token + "\n",
			"no header, one":      token + "\n",
			"no header, quoted":   "\"" + token + "\n",
			"swapped":             "domain,access_token\n" + token + ",a.myharavan.com\n",
			"swapped, none":       "domain,access_token\n" + token + ",\n",
			"swapped, bad name":   "domain,access_token\n" + token + "!, \n",
			"as number":           "domain,access_token,org_id\na,b," + token + "\n",
			"as date":             "domain,access_token,installed_at\na,b," + token + "\n",
			"too many":            "domain,access_token\na,b," + token + "\n",
			"quote":               "domain,access_token\na,\"" + token + "\"x\n",
			"bare quote":          "domain,access_token\na," + token + "\"\n",
			"white space":         "domain,access_token\na," + token + " x\n",
			"both":                "domain,legacy_token,legacy_password\na," + token + "," + token + "\n",
			"second header":       "domain,access_token\na,b\n" + token + "," + token + ",domain\n",
			"JSON name":           `{"` + token + `":"a.myharavan.com"}`,
			"JSON cut":            `{"domain":"a","access_token":"` + token,
			"JSON escape":         `{"domain":"a","access_token":"\q` + token + `"}`,
			"JSON kind":           `{"domain":"a","access_token":["` + token + `"]}`,
			"JSON unknown":        `{"domain":"a","access_tokn":"` + token + `"}`,
			"JSON domain":         `{"domain":"` + token + `"}`,
			"JSON after":          `{"domain":"a"} ` + token,
			"JSON literal":        `{"domain":"a","access_token":` + token + `}`,
			"JSON list":           `["` + token + `"]`,
			"JSON Lines no quote": "{" + token + "}",
		} {
			rows, problems, err := readAll(t, strings.NewReader(in), Auto)
			if len(rows) > 0 || len(problems) == 0 && err == nil {
				if name != "second header" {
					t.Errorf("%s: %d rows, no problem: the case is not broken", name, len(rows))
				}
			}
			text := (&BadRow{Problems: problems}).Error()
			if err != nil {
				text += err.Error()
			}
			for _, p := range problems {
				text += p.String()
			}
			if strings.Contains(text, token) {
				t.Errorf("%s: the token is shown: %s", name, text)
			}
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	var all Problems
	for i := range 2500 {
		all.Add(Problem{Line: 2*i + 1}, Problem{Line: 2*i + 2})
	}
	if len(all.Kept()) != MaxKeptProblems || all.Total() != 5000 {
		t.Fatalf("kept %d, total %d; want %d, 5000", len(all.Kept()), all.Total(), MaxKeptProblems)
	}
	if first, last := all.Kept()[0].Line, all.Kept()[MaxKeptProblems-1].Line; first != 1 || last != MaxKeptProblems {
		t.Errorf("kept lines %d to %d, want the first ones", first, last)
	}
}
