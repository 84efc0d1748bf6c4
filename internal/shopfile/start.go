package shopfile

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// foreign are the beginnings of files that are not text in UTF-8.
var foreign = []struct{ magic, message, remedy string }{
	{"\xff\xfe", "this is UTF-16", "save the file as UTF-8"},
	{"\xfe\xff", "this is UTF-16", "save the file as UTF-8"},
	{"PK\x03\x04", "this is a zip archive or a spreadsheet's workbook", "save it as CSV in UTF-8"},
	{"\xd0\xcf\x11\xe0", "this is a spreadsheet's workbook", "save it as CSV in UTF-8"},
	{"\x1f\x8b", "this is compressed with gzip", "pipe it through gzip -dc"},
	{"\x28\xb5\x2f\xfd", "this is compressed with zstd", "pipe it through zstd -dc"},
}

// start looks at the beginning of the file: its encoding, its format, its header.
func (r *Reader) start() error {
	head := r.src.prefix(4)
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return &FileError{Message: f.message, Remedy: f.remedy}
		}
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		r.src.take(len("\ufeff"), 0)
	}
	first, err := r.firstLine()
	if err != nil {
		return err
	}
	switch {
	case bytes.IndexByte(first, 0) >= 0:
		return &FileError{Line: r.src.line, Message: "this is not plain text, or is UTF-16", Remedy: "save the file as CSV in UTF-8"}
	case !utf8.Valid(first):
		return &FileError{Line: r.src.line, Message: "this is not UTF-8", Remedy: "save the file as UTF-8"}
	}

	first = bytes.TrimSpace(first)
	if r.format == Auto {
		r.format = CSV
		if first[0] == '{' || first[0] == '[' {
			r.format = JSONL
		}
	}
	if r.format == JSONL {
		return r.checkObjects(first)
	}
	return r.startRecords()
}

// firstLine passes over blank lines.
func (r *Reader) firstLine() ([]byte, error) {
	for {
		line, err := r.src.peekLine(0)
		switch {
		case err == io.EOF:
			// An empty pipe is nearly always a command that failed before it.
			return nil, &FileError{Message: "the file is empty", Remedy: headerExample}
		case err == errTooLong:
			return nil, &FileError{Line: r.src.line, Message: "the line is longer than 64 KiB, so this is no shop list", Remedy: headerExample}
		case err != nil:
			return nil, r.readError(err)
		case len(bytes.TrimSpace(line)) > 0:
			return line, nil
		}
		r.src.take(len(line), 1)
	}
}

func (r *Reader) checkObjects(first []byte) error {
	switch first[0] {
	case '{':
		return nil
	case '[':
		return &FileError{Line: r.src.line, Message: "this is a JSON list, not JSON Lines", Remedy: "write one object a line (jq -c '.[]')"}
	}
	return &FileError{Line: r.src.line, Message: "this is not JSON Lines", Remedy: "write one object a line, or read it as csv"}
}

func (r *Reader) startRecords() error {
	at := r.src.line
	fields, err := r.record()
	var bad *BadRow
	if errors.As(err, &bad) {
		return &FileError{Line: at, Message: "the header " + bad.Problems[0].Message, Remedy: headerExample}
	}
	if err != nil {
		return err
	}
	r.columns, err = readHeader(at, fields)
	return err
}
