package shopfile

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/shopdomain"
)

var seeds = []string{
	"domain,access_token\na.myharavan.com,t1\r\nb,\"t2\"\n",
	"\ufeffdomain,org_id,legacy_token,excluded_reason\na,1,,\"x\r\ny \"\"z\"\"\"\n\n,,,\nb,x,\"t\n",
	"{\"domain\":\"a\",\"access_token\":\"t\",\"org_id\":200000123456}\n{\"domain\":\"\\u0061\",\"legacy_password\":null}\n",
	"{\"domain\":[{}],\"x\":1.5e3}\n\n{}\n{\"domain\":\"a\"",
	"domain,excluded_reason\na,\"b\"c\n\x00\n\xff,\xff\n",
}

// checkReading holds what is true of any bytes whatever.
func checkReading(t *testing.T, in []byte, format Format) {
	r := NewReader(bytes.NewReader(in), ReadOptions{Format: format})
	lines := bytes.Count(in, []byte("\n")) + 1
	last := 0
	for {
		row, err := r.Next()
		var bad *BadRow
		var fe *FileError
		line := row.Line
		switch {
		case err == io.EOF:
			return
		case errors.As(err, &fe):
			if fe.Line > lines {
				t.Fatalf("error on line %d of %d", fe.Line, lines)
			}
			if _, again := r.Next(); again != err {
				t.Fatalf("after %v came %v", err, again)
			}
			return
		case errors.As(err, &bad):
			line = bad.Problems[0].Line
			for _, p := range bad.Problems {
				if p.Line != line || p.Message == "" {
					t.Fatalf("problem %+v in a row of line %d", p, line)
				}
			}
		case err != nil:
			t.Fatalf("error %v of type %T", err, err)
		default:
			if again, err := shopdomain.Parse(row.Domain); err != nil || again != row.Domain {
				t.Fatalf("row with the domain %q", row.Domain)
			}
			if row.AccessToken.IsZero() && row.LegacyToken.IsZero() && row.LegacyPassword.IsZero() && row.ExcludedReason == "" {
				t.Fatalf("row without a credential: %+v", row)
			}
		}
		if line <= last || line > lines {
			t.Fatalf("line %d came after line %d of %d", line, last, lines)
		}
		last = line
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, format := range []Format{Auto, CSV, JSONL} {
			checkReading(t, in, format)
		}
	})
}

// FuzzRecords gives the rows a good header, so that they are reached.
func FuzzRecords(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		checkReading(t, append([]byte(strings.Join(columnNames[:], ",")+"\n"), in...), CSV)
	})
}

// FuzzSplitter compares with encoding/csv wherever that accepts the input.
func FuzzSplitter(f *testing.F) {
	for _, s := range append(seeds, "a,b\r\n\"\",\"a\"\"\r\nb\"\n,\n", "\"\"\"\"\r\n x , \"\n") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		theirs := csv.NewReader(strings.NewReader(in))
		theirs.FieldsPerRecord = -1
		want, err := theirs.ReadAll()
		if err != nil || strings.HasSuffix(in, "\r") && strings.HasSuffix(strings.TrimRight(in, "\r"), "\n") {
			t.Skip() // they take carriage returns alone at the end for a record
		}
		r := &Reader{src: newLineSource(strings.NewReader(in))}
		var got [][]string
		for {
			line, err := r.src.peekLine(0)
			if err != nil {
				break
			}
			if len(cutLineEnd(line)) == 0 { // they skip empty lines too
				r.src.take(len(line), 1)
				continue
			}
			fields, err := r.record()
			if err != nil {
				t.Fatalf("%v, where encoding/csv reads %q", err, want)
			}
			record := make([]string, len(fields))
			for i, f := range fields {
				record[i] = string(f)
			}
			got = append(got, record)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("records (-encoding/csv +ours):\n%s", diff)
		}
	})
}

// FuzzObject compares with encoding/json: what it takes for an object of
// strings, numbers, booleans and nulls, so do we, and with the same values.
func FuzzObject(f *testing.F) {
	for _, s := range append(seeds, `{"a":"\ud83d\ude00","b":-0.5e+1,"a":true}`, `{"a":"\\\"","b":[{"c":"]"}]}`) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got := map[string]any{}
		nested := false
		var s objectScanner
		err := s.scan(in, func(name string, kind valueKind, text string) {
			switch kind {
			case kindString:
				got[name] = text
			case kindNumber:
				got[name] = json.Number(text)
			case kindBool:
				got[name] = text == "true"
			case kindNull:
				got[name] = nil
			case kindNested:
				nested = true
			}
		})
		var want map[string]any
		dec := json.NewDecoder(bytes.NewReader(in))
		dec.UseNumber()
		theirErr := dec.Decode(&want)
		if theirErr == nil && json.Valid(in) && want != nil {
			if err != nil {
				t.Fatalf("%v, where encoding/json reads %q", err, want)
			}
		} else if err == nil && !nested {
			t.Fatalf("read %q, which encoding/json refuses: %v", got, theirErr)
		}
		// encoding/json replaces bad UTF-8; a Reader refuses the line before.
		if err == nil && !nested && !bytes.ContainsRune(in, '\ufffd') && bytes.Equal(bytes.ToValidUTF8(in, []byte("?")), in) {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("object (-encoding/json +ours):\n%s", diff)
			}
		}
	})
}
