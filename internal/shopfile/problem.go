package shopfile

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with one row. It never holds a credential.
type Problem struct {
	// Line is where the row begins, counted from 1; 0 for a row with a Key.
	Line int `json:"line,omitempty"`
	// Key names the row instead, if it was read from a table.
	Key string `json:"key,omitempty"`
	// Column is the column at fault; empty when the whole row is.
	Column string `json:"column,omitempty"`
	// Domain is the shop's normalised domain; empty when the row has no good one.
	Domain string `json:"domain,omitempty"`
	// Message says what is wrong and what would be right.
	Message string `json:"message"`
}

// String gives the problem on one line.
func (p Problem) String() string {
	if p.Key != "" {
		return fmt.Sprintf("row %s: %s", p.Key, p.detail())
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.detail())
}

func (p Problem) detail() string {
	var b strings.Builder
	if p.Domain != "" {
		b.WriteString(p.Domain + ": ")
	}
	if p.Column != "" {
		b.WriteString(p.Column + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// BadRow is the error for a row that cannot be taken. It holds all of the row's
// problems; the caller may go on to the next row.
type BadRow struct{ Problems []Problem }

// Error implements error.
func (e *BadRow) Error() string {
	if len(e.Problems) == 0 {
		return "read shop list: bad row"
	}
	details := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		details[i] = p.detail()
	}
	return fmt.Sprintf("read shop list: line %d: %s", e.Problems[0].Line, strings.Join(details, "; "))
}

// FileError ends the reading: nothing that follows can be understood.
type FileError struct {
	// Line is where the reading ended, counted from 1; 0 when the whole file
	// is at fault.
	Line int
	// Message says what is wrong; Remedy what to do.
	Message, Remedy string
	// Err is the reader's own error, if there was one.
	Err error
}

// Error implements error.
func (e *FileError) Error() string {
	var b strings.Builder
	b.WriteString("read shop list: ")
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	b.WriteString(e.Message)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

// Unwrap returns the reader's own error.
func (e *FileError) Unwrap() error { return e.Err }

// MaxKeptProblems is how many problems Problems keeps with their text.
const MaxKeptProblems = 1000

// Problems collects the problems of a whole file in bounded memory. The zero
// value is ready; it is not safe for concurrent use.
type Problems struct {
	kept  []Problem
	total int
}

// Add takes more problems, in the order of the file.
func (p *Problems) Add(more ...Problem) {
	p.total += len(more)
	room := MaxKeptProblems - len(p.kept)
	p.kept = append(p.kept, more[:min(room, len(more))]...)
}

// Kept returns the first MaxKeptProblems problems.
func (p *Problems) Kept() []Problem { return p.kept }

// Total returns how many problems were added, kept or not.
func (p *Problems) Total() int { return p.total }
