package shopfile

import (
	"fmt"
	"strings"
)

const headerExample = "put a line such as domain,access_token first"

// readHeader finds which column each field of the first record is. All its
// mistakes are told at once.
func readHeader(line int, fields [][]byte) ([]column, error) {
	names := make([]string, len(fields))
	trusted, known := false, 0
	for i, f := range fields {
		names[i] = string(f)
		if _, ok := columnNamed(names[i]); ok {
			trusted = true
			known++
		} else if _, ok := alias[squash(names[i])]; ok {
			known++
		}
	}
	switch all := strings.Join(names, ","); {
	case strings.Contains(strings.TrimRight(all, "\r"), "\r"):
		// The whole file is in the header: no name in it may be shown.
		return nil, &FileError{Line: line, Message: "the lines end with bare carriage returns", Remedy: "save the file with LF or CRLF line ends"}
	case known == 0:
		return nil, noHeader(line, all, len(names))
	}

	columns := make([]column, len(names))
	var seen [columnCount]bool
	var mistakes []string
	for i, name := range names {
		c, ok := columnNamed(name)
		switch {
		case !ok && strings.TrimSpace(name) == "":
			mistakes = append(mistakes, fmt.Sprintf("column %d has no name", i+1))
		case !ok:
			mistakes = append(mistakes, unknownName("column", name, i+1, trusted))
		case seen[c]:
			mistakes = append(mistakes, fmt.Sprintf("column %d names %s again", i+1, c))
		default:
			columns[i], seen[c] = c, true
		}
	}
	if !seen[colDomain] {
		mistakes = append(mistakes, "there is no column domain")
	}
	if !seen[colAccessToken] && !seen[colLegacyToken] && !seen[colLegacyPassword] && !seen[colExcludedReason] {
		mistakes = append(mistakes, "there is no column access_token, legacy_token, legacy_password or excluded_reason")
	}
	if len(mistakes) == 0 {
		return columns, nil
	}
	return nil, &FileError{
		Line:    line,
		Message: "the header is wrong: " + strings.Join(mistakes, "; "),
		Remedy:  "the columns are " + strings.Join(columnNames[:], ", "),
	}
}

// noHeader explains a first line without a single name we know.
func noHeader(line int, all string, fields int) error {
	e := &FileError{Line: line, Message: "there is no header", Remedy: headerExample}
	switch {
	case strings.HasPrefix(all, "{"):
		e.Message, e.Remedy = "this is JSON, not CSV", "read it as jsonl"
	case fields == 1 && strings.Contains(all, ";"):
		e.Message, e.Remedy = "the columns are separated by semicolons", "save the file with commas"
	case fields == 1 && strings.Contains(all, "\t"):
		e.Message, e.Remedy = "the columns are separated by tabs", "save the file with commas"
	}
	return e
}
