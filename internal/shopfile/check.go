package shopfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
)

const (
	// maxCredential bounds a token in bytes. The longest seen, signed ones of
	// the platform's second generation, are under 2,000.
	maxCredential = 4096
	// maxReason bounds an excluded_reason in characters.
	maxReason = 500
	// firstYear refuses the dates that spreadsheets and databases write for
	// "none" (1899, 1970); no app is older.
	firstYear = 2000
)

// showable returns domain if the cell was written out as one. A bare name is
// not shown: with the columns swapped it would be a token.
func showable(cell, domain string) string {
	if strings.Contains(strings.ToLower(cell), shopdomain.Suffix) {
		return domain
	}
	return ""
}

// credentialFault says why s is no token, without repeating it; "" if it may be.
func credentialFault(s string) string {
	switch strings.ToLower(s) {
	case secret.Redacted:
		return "is the mark of a hidden token, not a token: import a file that `rotator shop export` wrote"
	case "null", "none", "nil", "undefined", `\n`:
		return "is another program's word for no value: leave it empty"
	}
	if len(s) > maxCredential {
		return fmt.Sprintf("is longer than %d characters", maxCredential)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ' || c >= '\t' && c <= '\r':
			return fmt.Sprintf("has white space at character %d: tokens have none", i+1)
		case c < ' ' || c == 0x7f:
			return fmt.Sprintf("has a control character at character %d", i+1)
		case c >= utf8.RuneSelf:
			return fmt.Sprintf("has a character outside ASCII at character %d, perhaps an invisible one that was copied along", i+1)
		}
	}
	if hasSuffixFold(strings.TrimSuffix(s, "/"), shopdomain.Suffix) {
		return "is a shop's domain: the columns seem to be swapped"
	}
	return ""
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

func parseOrgID(s string) (int64, string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, ""
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n > 0 && s[0] != '+' {
		return n, ""
	}
	if strings.ContainsAny(s, "eE.,") {
		return 0, "is not a whole number: a spreadsheet may have rounded it; format the column as text and export again"
	}
	return 0, "is not a whole number from 1 to 9223372036854775807"
}

// maxPriority bounds a priority: room for every rank that a list has, none for
// an org_id or a turnover in the wrong column.
const maxPriority = 1_000_000

func parsePriority(s string) (*int, string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, ""
	}
	n, err := strconv.Atoi(s)
	if err != nil || s[0] == '+' || n < -maxPriority || n > maxPriority {
		return nil, fmt.Sprintf("is not a whole number from -%d to %d: the higher it is, the earlier the shop comes", maxPriority, maxPriority)
	}
	return &n, ""
}

func parseInstalledAt(s string) (time.Time, string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, ""
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		at, err = time.Parse(time.DateOnly, s)
	}
	if err != nil {
		return time.Time{}, "is not a time: write 2024-05-31T08:30:00Z or 2024-05-31"
	}
	at = at.UTC()
	if at.Year() < firstYear || at.Year() > 9999 {
		return time.Time{}, fmt.Sprintf("is before the year %d or after 9999: leave it empty if the time is not known", firstYear)
	}
	return at, ""
}

// Reason returns s as a list's excluded_reason holds it, or why no list takes it.
func Reason(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("is not UTF-8")
	}
	reason, message := parseReason(s)
	if message != "" {
		return "", errors.New(message)
	}
	return reason, nil
}

func parseReason(s string) (string, string) {
	s = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
	if utf8.RuneCountInString(s) > maxReason {
		return "", fmt.Sprintf("is longer than %d characters", maxReason)
	}
	n := 0
	for _, r := range s {
		n++
		if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
			return "", fmt.Sprintf("has a character that cannot be printed at character %d", n)
		}
	}
	return s, ""
}
