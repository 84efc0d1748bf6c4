package shopfile

import (
	"bytes"
	"encoding/json"
	"errors"
)

// valueKind is the kind of a JSON value.
type valueKind int

const (
	kindString valueKind = iota
	kindNumber
	kindNull
	kindBool
	kindNested // an object or a list, not looked into
)

// These repeat nothing of the line: it holds tokens.
var (
	errNoObject   = errors.New("is not a JSON object: write one object a line, such as {\"domain\":\"…\",\"access_token\":\"…\"}")
	errCutObject  = errors.New("ends inside the JSON object: write each object on one line")
	errSyntax     = errors.New("is not valid JSON")
	errAfterwards = errors.New("has text after the JSON object: write one object a line")
)

// objectScanner reads one flat JSON object (RFC 8259). encoding/json is not
// used for the object because it drops duplicate names and because its errors
// quote the text.
type objectScanner struct {
	line []byte
	pos  int
}

// scan calls visit for each member, in order. text is the decoded string, or
// the literal of any other kind but kindNested.
func (s *objectScanner) scan(line []byte, visit func(name string, kind valueKind, text string)) error {
	s.line, s.pos = line, 0
	if s.next() != '{' {
		return errNoObject
	}
	s.pos++
	if s.next() == '}' {
		s.pos++
		return s.finish()
	}
	for {
		if s.next() != '"' {
			return s.syntax()
		}
		name, err := s.str()
		if err != nil {
			return err
		}
		if s.next() != ':' {
			return s.syntax()
		}
		s.pos++
		kind, text, err := s.value()
		if err != nil {
			return err
		}
		visit(name, kind, text)
		switch s.next() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return s.finish()
		default:
			return s.syntax()
		}
	}
}

func (s *objectScanner) finish() error {
	if s.next() != 0 || s.pos < len(s.line) {
		return errAfterwards
	}
	return nil
}

func (s *objectScanner) syntax() error {
	if s.pos >= len(s.line) {
		return errCutObject
	}
	return errSyntax
}

// next skips white space and returns the byte there, 0 at the end.
func (s *objectScanner) next() byte {
	for ; s.pos < len(s.line); s.pos++ {
		switch s.line[s.pos] {
		case ' ', '\t', '\r', '\n':
		default:
			return s.line[s.pos]
		}
	}
	return 0
}

func (s *objectScanner) value() (valueKind, string, error) {
	switch c := s.next(); {
	case c == '"':
		text, err := s.str()
		return kindString, text, err
	case c == '{' || c == '[':
		return kindNested, "", s.skipNested()
	case c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z':
		return s.literal()
	}
	return 0, "", s.syntax()
}

func (s *objectScanner) literal() (valueKind, string, error) {
	begin := s.pos
	for s.pos < len(s.line) && bytes.IndexByte([]byte(" \t\r\n,}]"), s.line[s.pos]) < 0 {
		s.pos++
	}
	text := s.line[begin:s.pos]
	switch {
	case string(text) == "null":
		return kindNull, "null", nil
	case string(text) == "true", string(text) == "false":
		return kindBool, string(text), nil
	case text[0] <= '9' && json.Valid(text):
		return kindNumber, string(text), nil
	}
	return 0, "", s.syntax()
}

// str decodes the string at pos.
func (s *objectScanner) str() (string, error) {
	begin := s.pos
	plain := true
	for s.pos++; s.pos < len(s.line); s.pos++ {
		switch c := s.line[s.pos]; {
		case c == '\\':
			plain = false
			s.pos++
		case c < ' ':
			return "", errSyntax
		case c == '"':
			s.pos++
			raw := s.line[begin:s.pos]
			if plain {
				return string(raw[1 : len(raw)-1]), nil
			}
			var text string
			if json.Unmarshal(raw, &text) != nil {
				return "", errSyntax
			}
			return text, nil
		}
	}
	return "", errCutObject
}

// skipNested passes over a list or an object. Only its end matters: its column
// is a problem whatever it holds.
func (s *objectScanner) skipNested() error {
	for depth := 0; s.pos < len(s.line); {
		switch s.line[s.pos] {
		case '"':
			if _, err := s.str(); err != nil {
				return err
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.pos++
		if depth == 0 {
			return nil
		}
	}
	return errCutObject
}
