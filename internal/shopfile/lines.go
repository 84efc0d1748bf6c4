package shopfile

import (
	"bytes"
	"errors"
	"io"
)

// maxRecord bounds a record (a line, or several with quoted line breaks) in
// bytes, its line end included. A shop's row is some 200 bytes long.
const maxRecord = 64 << 10

// emptyReads is how often in a row a reader may return nothing and no error.
const emptyReads = 100

var errTooLong = errors.New("longer than 64 KiB")

// lineSource hands out the lines of a stream without taking them, so that a
// record that turns out broken can be given up after its first line.
type lineSource struct {
	r          io.Reader
	buf        []byte
	start, end int   // buf[start:end] is read and not yet taken
	line       int   // number of the line at start, from 1
	err        error // why the stream ended; io.EOF if it is whole
}

func newLineSource(r io.Reader) lineSource {
	// Four records: compacting and reading stay rare.
	return lineSource{r: r, buf: make([]byte, 4*maxRecord), line: 1}
}

// peekLine returns the line that begins at offset from of what is not yet
// taken, with its line end. The bytes are valid until the next call. It returns
// errTooLong if the line does not end within maxRecord, io.EOF if nothing is
// left, and the stream's error if that cut the line short.
func (s *lineSource) peekLine(from int) ([]byte, error) {
	for searched := from; ; {
		if i := bytes.IndexByte(s.buf[s.start+searched:s.end], '\n'); i >= 0 {
			n := searched + i + 1
			if n > maxRecord {
				return nil, errTooLong
			}
			return s.buf[s.start+from : s.start+n], nil
		}
		have := s.end - s.start
		switch {
		case have > maxRecord:
			return nil, errTooLong
		case s.err == io.EOF && have > from:
			return s.buf[s.start+from : s.end], nil
		case s.err != nil:
			return nil, s.err
		}
		searched = have
		s.fill()
	}
}

// prefix returns up to n bytes of what is not yet taken.
func (s *lineSource) prefix(n int) []byte {
	for s.end-s.start < n && s.err == nil {
		s.fill()
	}
	return s.buf[s.start:min(s.start+n, s.end)]
}

// take removes n bytes that hold the given number of lines.
func (s *lineSource) take(n, lines int) {
	s.start += n
	s.line += lines
}

// skipLine removes a line of any length, holding no more than the buffer.
func (s *lineSource) skipLine() {
	for {
		if i := bytes.IndexByte(s.buf[s.start:s.end], '\n'); i >= 0 {
			s.take(i+1, 1)
			return
		}
		s.start = s.end
		if s.err != nil {
			return
		}
		s.fill()
	}
}

// fill reads once. The caller holds at most maxRecord bytes, so there is room.
func (s *lineSource) fill() {
	if len(s.buf)-s.end < maxRecord {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	for range emptyReads {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// cutLineEnd removes "\n" or "\r\n" (or a last "\r" at the end of the file).
func cutLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}
