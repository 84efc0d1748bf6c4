package shopfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Format is how a shop list is written.
type Format string

// The formats. Auto lets a Reader look: a list whose first character is an
// opening brace is JSON Lines, any other CSV.
const (
	Auto  Format = "auto"
	CSV   Format = "csv"
	JSONL Format = "jsonl"
)

// ParseFormat returns the format of that name; the empty name is Auto.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case "":
		return Auto, nil
	case Auto, CSV, JSONL:
		return f, nil
	}
	return "", fmt.Errorf("read format: %q is none: use auto, csv or jsonl", name)
}

// ReadOptions configure a Reader.
type ReadOptions struct {
	// Format is the list's format; the zero value means Auto.
	Format Format
}

// Reader reads a shop list row by row. It is not safe for concurrent use.
type Reader struct {
	src     lineSource
	format  Format
	started bool
	err     error // what every further Next returns

	columns []column // CSV: the header
	split   splitter
	object  objectScanner
}

// NewReader returns a Reader of r. Nothing is read before the first Next.
func NewReader(r io.Reader, o ReadOptions) *Reader {
	format, err := ParseFormat(string(o.Format))
	return &Reader{src: newLineSource(r), format: format, err: err}
}

// Next returns the next row. Its error is a *BadRow for a row with problems,
// after which the caller may go on; io.EOF after the last row; or a *FileError.
// The last two are final.
func (r *Reader) Next() (Row, error) {
	if r.err != nil {
		return Row{}, r.err
	}
	row, err := r.next()
	var bad *BadRow
	if err != nil && !errors.As(err, &bad) {
		r.err = err
	}
	return row, err
}

func (r *Reader) next() (Row, error) {
	if !r.started {
		if err := r.start(); err != nil {
			return Row{}, err
		}
		r.started = true
	}
	for {
		line, err := r.src.peekLine(0)
		switch {
		case err == io.EOF:
			return Row{}, io.EOF
		case err == errTooLong:
			at := r.src.line
			r.src.skipLine()
			return Row{}, rowProblem(at, "is longer than 64 KiB: a line holds one shop")
		case err != nil:
			return Row{}, r.readError(err)
		case len(bytes.TrimSpace(line)) == 0:
			r.src.take(len(line), 1)
			continue
		}
		if r.format == JSONL {
			return r.nextObject(line)
		}
		row, blank, err := r.nextRecord()
		if blank {
			continue
		}
		return row, err
	}
}

// nextRecord reads a CSV record. Records whose fields are all empty, which
// spreadsheets leave at the end, are blank lines.
func (r *Reader) nextRecord() (row Row, blank bool, err error) {
	at := r.src.line
	fields, err := r.record()
	if err != nil {
		return Row{}, false, err
	}
	var c cells
	blank = true
	var damaged bool
	for i, f := range fields {
		blank = blank && len(f) == 0
		damaged = damaged || bytes.IndexByte(f, 0) >= 0
		if i < len(r.columns) {
			c.text[r.columns[i]] = string(f)
		}
	}
	switch {
	case blank:
		return Row{}, true, nil
	case damaged:
		return Row{}, false, rowProblem(at, nulMessage)
	case len(fields) != len(r.columns):
		return Row{}, false, rowProblem(at, fmt.Sprintf("has %s where the header names %d",
			count(len(fields), "field"), len(r.columns)))
	}
	row, err = c.check(at, nil)
	return row, false, err
}

// record takes a CSV record. A record that cannot be cut into fields is given
// up with its first line: what follows may be rows in their own right.
func (r *Reader) record() ([][]byte, error) {
	at := r.src.line
	r.split.reset()
	first, size, lines := 0, 0, 0
	for {
		line, err := r.src.peekLine(size)
		if err == errTooLong || err == io.EOF {
			r.src.take(first, 1)
			return nil, rowProblem(at, "has a quote that is not closed within 64 KiB: close it, or double a quote inside a field")
		}
		if err != nil {
			return nil, r.readError(err)
		}
		if lines == 0 {
			first = len(line)
		}
		size += len(line)
		lines++
		switch r.split.feed(cutLineEnd(line)) {
		case splitOpen:
		case splitBare:
			r.src.take(first, 1)
			return nil, rowProblem(at, "has a quote inside a field without quotes: put the field in quotes and double the quote")
		case splitTrailing:
			r.src.take(first, 1)
			return nil, rowProblem(at, "has text after a closing quote: double a quote inside a field")
		case splitDone:
			r.src.take(size, lines)
			return r.split.record(), nil
		}
	}
}

// nextObject reads a JSON Lines row.
func (r *Reader) nextObject(line []byte) (Row, error) {
	at := r.src.line
	r.src.take(len(line), 1)
	switch {
	case bytes.IndexByte(line, 0) >= 0:
		return Row{}, rowProblem(at, nulMessage)
	case !utf8.Valid(line):
		return Row{}, rowProblem(at, "is not UTF-8: save the file as UTF-8")
	}
	var m members
	if err := r.object.scan(cutLineEnd(line), m.visit); err != nil {
		return Row{}, rowProblem(at, err.Error())
	}
	found := m.problems(at)
	return m.cells.check(at, found)
}

func (r *Reader) readError(err error) error {
	return &FileError{Line: r.src.line, Message: "the file cannot be read on", Err: err}
}

const nulMessage = "holds a NUL byte: the file is damaged or is not plain text"

func rowProblem(line int, message string) *BadRow {
	return &BadRow{Problems: []Problem{{Line: line, Message: message}}}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
