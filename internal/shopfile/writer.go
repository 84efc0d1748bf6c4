package shopfile

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Writer writes a shop list that a Reader takes back unchanged. The tokens are
// written in clear: give it a CreatePrivate file or a pipe. It is not safe for
// concurrent use.
type Writer struct {
	columns []column
	csv     *csv.Writer // nil for JSON Lines
	record  []string
	out     *bufio.Writer // JSON Lines only
	line    []byte
}

// NewWriter returns a Writer of the named columns in the given order; nil means
// all. The CSV header is written at once, so that a list of no shops can be
// told from a failed export. It refuses Auto, unknown and repeated columns, and
// a list without domain, with all mistakes at once.
func NewWriter(w io.Writer, format Format, columns []string) (*Writer, error) {
	chosen, err := chooseColumns(columns)
	if format != CSV && format != JSONL {
		err = errors.Join(err, fmt.Errorf("format %q is none: use csv or jsonl", format))
	}
	if err != nil {
		return nil, fmt.Errorf("write shop list: %w", err)
	}
	wr := &Writer{columns: chosen}
	if format == JSONL {
		wr.out = bufio.NewWriterSize(w, maxRecord)
		return wr, nil
	}
	wr.csv = csv.NewWriter(w)
	for _, c := range chosen {
		wr.record = append(wr.record, c.String())
	}
	return wr, wr.csv.Write(wr.record)
}

// CheckColumns tells every mistake in the columns that a Writer is to write.
func CheckColumns(names []string) error {
	_, err := chooseColumns(names)
	return err
}

// chooseColumns finds the named columns; no names at all mean every column.
func chooseColumns(names []string) ([]column, error) {
	if names == nil {
		names = Columns()
	}
	var chosen []column
	var seen [columnCount]bool
	var mistakes []error
	for _, name := range names {
		c, ok := columnNamed(name)
		switch {
		case !ok:
			mistakes = append(mistakes, fmt.Errorf("column %q is none: the columns are %s",
				name, strings.Join(columnNames[:], ", ")))
		case seen[c]:
			mistakes = append(mistakes, fmt.Errorf("column %s is named twice", c))
		default:
			seen[c] = true
			chosen = append(chosen, c)
		}
	}
	if !seen[colDomain] {
		mistakes = append(mistakes, errors.New("the column domain is missing"))
	}
	return chosen, errors.Join(mistakes...)
}

// Write writes one row.
func (w *Writer) Write(row Row) error {
	var err error
	if w.csv != nil {
		err = w.writeRecord(row)
	} else {
		err = w.writeObject(row)
	}
	if err != nil {
		return fmt.Errorf("write shop list: %w", err)
	}
	return nil
}

// Flush writes what is still held; call it after the last row.
func (w *Writer) Flush() error {
	var err error
	if w.csv != nil {
		w.csv.Flush()
		err = w.csv.Error()
	} else {
		err = w.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write shop list: %w", err)
	}
	return nil
}

func (w *Writer) writeRecord(row Row) error {
	w.record = w.record[:0]
	for _, c := range w.columns {
		w.record = append(w.record, row.text(c))
	}
	return w.csv.Write(w.record)
}

// writeObject leaves empty fields out.
func (w *Writer) writeObject(row Row) error {
	w.line = append(w.line[:0], '{')
	for _, c := range w.columns {
		text := row.text(c)
		if text == "" {
			continue
		}
		if len(w.line) > 1 {
			w.line = append(w.line, ',')
		}
		w.line = append(w.line, '"')
		w.line = append(w.line, c.String()...)
		w.line = append(w.line, '"', ':')
		if c.isNumber() {
			w.line = append(w.line, text...)
		} else {
			w.line = appendString(w.line, text)
		}
	}
	w.line = append(w.line, '}', '\n')
	_, err := w.out.Write(w.line)
	return err
}

// text is what the row has in a column; the only place that reveals a token.
func (r Row) text(c column) string {
	switch c {
	case colDomain:
		return r.Domain
	case colAccessToken:
		return r.AccessToken.Reveal()
	case colLegacyToken:
		return r.LegacyToken.Reveal()
	case colLegacyPassword:
		return r.LegacyPassword.Reveal()
	case colOrgID:
		if r.OrgID != 0 {
			return strconv.FormatInt(r.OrgID, 10)
		}
	case colInstalledAt:
		if !r.InstalledAt.IsZero() {
			return r.InstalledAt.UTC().Format(time.RFC3339Nano)
		}
	case colExcludedReason:
		return r.ExcludedReason
	case colPriority:
		if r.Priority != nil {
			return strconv.Itoa(*r.Priority)
		}
	}
	return ""
}

// appendString appends s as a JSON string; nearly all need no escaping.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string cannot fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
