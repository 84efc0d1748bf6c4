package shopfile

import "bytes"

// splitState is what a splitter knows after a line.
type splitState int

const (
	splitDone     splitState = iota // the record is complete
	splitOpen                       // a quoted field goes on in the next line
	splitBare                       // a quote inside a field without quotes
	splitTrailing                   // text after a closing quote
)

// splitter cuts one CSV record into fields (RFC 4180, section 2; a line break
// inside quotes becomes "\n"). It is fed line by line, so that each byte is
// looked at once, and reuses its memory from record to record.
//
// encoding/csv is not used for reading because it holds a field of any length:
// one unclosed quote would take the rest of the file into memory, and would
// hide every row in it.
type splitter struct {
	text   []byte // the fields' bytes, one after the other
	ends   []int  // where each field ends in text
	fields [][]byte
	open   bool
}

func (s *splitter) reset() {
	s.text, s.ends, s.open = s.text[:0], s.ends[:0], false
}

// feed takes the next line of the record, without its line end.
func (s *splitter) feed(line []byte) splitState {
	if s.open {
		s.text = append(s.text, '\n')
	}
	for {
		quoted := s.open || len(line) > 0 && line[0] == '"'
		if !quoted {
			i := bytes.IndexByte(line, ',')
			field := line
			if i >= 0 {
				field = line[:i]
			}
			if bytes.IndexByte(field, '"') >= 0 {
				return splitBare
			}
			s.endField(field)
			if i < 0 {
				return splitDone
			}
			line = line[i+1:]
			continue
		}
		if !s.open {
			line = line[1:]
		}
		rest, closed := s.quoted(line)
		s.open = !closed
		switch {
		case !closed:
			return splitOpen
		case len(rest) == 0:
			s.endField(nil)
			return splitDone
		case rest[0] != ',':
			return splitTrailing
		}
		s.endField(nil)
		line = rest[1:]
	}
}

// quoted takes a quoted field up to its closing quote, and returns what follows.
func (s *splitter) quoted(line []byte) (rest []byte, closed bool) {
	for {
		i := bytes.IndexByte(line, '"')
		if i < 0 {
			s.text = append(s.text, line...)
			return nil, false
		}
		s.text = append(s.text, line[:i]...)
		line = line[i+1:]
		if len(line) == 0 || line[0] != '"' {
			return line, true
		}
		s.text = append(s.text, '"')
		line = line[1:]
	}
}

func (s *splitter) endField(last []byte) {
	s.text = append(s.text, last...)
	s.ends = append(s.ends, len(s.text))
}

// record returns the fields of a complete record, valid until the next reset.
func (s *splitter) record() [][]byte {
	s.fields = s.fields[:0]
	begin := 0
	for _, end := range s.ends {
		s.fields = append(s.fields, s.text[begin:end])
		begin = end
	}
	return s.fields
}
