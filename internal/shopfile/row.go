package shopfile

import (
	"time"
	"unicode/utf8"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
)

// Row is one shop of a list, checked.
type Row struct {
	// Line is where the row begins, counted from 1. A Writer ignores it.
	Line int
	// Key is the key of the row in the table that it was read from; empty when
	// it comes from a list. A Writer ignores it.
	Key string
	// Domain is the shop's domain as shopdomain.Parse returns it.
	Domain string
	// OrgID is the shop's number on the platform; 0 when the list has none.
	OrgID int64
	// AccessToken is the OAuth token; zero when there is none.
	AccessToken secret.String
	// LegacyToken and LegacyPassword are credentials from before OAuth
	// (Haravan, Legacy to OAuth); a row has at most one of them.
	LegacyToken, LegacyPassword secret.String
	// InstalledAt is when the shop installed the app, in UTC; zero when unknown.
	InstalledAt time.Time
	// ExcludedReason is why runs leave the shop out; empty when they do not.
	// It may have several lines.
	ExcludedReason string
	// Priority says how important the shop is: higher first, where a run goes by
	// it. Nil when the list does not say.
	Priority *int
}

// cells is a row as the file has it.
type cells struct {
	text    [columnCount]string // "" when the file has nothing
	invalid [columnCount]bool   // a problem was noted: look no further
}

// check makes a Row of the cells. The problems found earlier come first.
func (c *cells) check(line int, found []Problem) (Row, error) {
	row := Row{Line: line}
	fault := func(col column, message string) {
		found = append(found, Problem{Line: line, Column: col.String(), Message: message})
		c.invalid[col] = true
	}
	for col := range columnCount {
		if !c.invalid[col] && !utf8.ValidString(c.text[col]) {
			fault(col, "is not UTF-8: save the file as UTF-8")
		}
	}

	shown := ""
	if !c.invalid[colDomain] {
		domain, err := shopdomain.Parse(c.text[colDomain])
		if err != nil {
			fault(colDomain, err.Error())
		} else {
			row.Domain = domain
			shown = showable(c.text[colDomain], domain)
		}
	}
	row.AccessToken = c.credential(colAccessToken, fault)
	row.LegacyToken = c.credential(colLegacyToken, fault)
	row.LegacyPassword = c.credential(colLegacyPassword, fault)
	c.optional(colOrgID, fault, func(s string) (m string) { row.OrgID, m = parseOrgID(s); return })
	c.optional(colInstalledAt, fault, func(s string) (m string) { row.InstalledAt, m = parseInstalledAt(s); return })
	c.optional(colExcludedReason, fault, func(s string) (m string) { row.ExcludedReason, m = parseReason(s); return })
	c.optional(colPriority, fault, func(s string) (m string) { row.Priority, m = parsePriority(s); return })
	c.checkCredentials(row.ExcludedReason != "", fault)

	if len(found) == 0 {
		return row, nil
	}
	for i := range found {
		found[i].Domain = shown
	}
	return Row{}, &BadRow{Problems: found}
}

// checkCredentials holds the rules between columns.
func (c *cells) checkCredentials(excluded bool, fault func(column, string)) {
	has := func(col column) bool { return c.text[col] != "" || c.invalid[col] }
	if has(colLegacyToken) && has(colLegacyPassword) {
		fault(colLegacyPassword, "is given beside legacy_token: keep the one that the app uses")
	}
	excluded = excluded || c.invalid[colExcludedReason]
	if !has(colAccessToken) && !has(colLegacyToken) && !has(colLegacyPassword) && !excluded {
		fault(colAccessToken, "is empty: give access_token, legacy_token or legacy_password, or an excluded_reason")
	}
}

func (c *cells) credential(col column, fault func(column, string)) secret.String {
	s := c.text[col]
	if s == "" || c.invalid[col] {
		return secret.String{}
	}
	if m := credentialFault(s); m != "" {
		fault(col, m)
		return secret.String{}
	}
	return secret.New(s)
}

func (c *cells) optional(col column, fault func(column, string), parse func(string) string) {
	if c.text[col] == "" || c.invalid[col] {
		return
	}
	if m := parse(c.text[col]); m != "" {
		fault(col, m)
	}
}
