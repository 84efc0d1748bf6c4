package shopfile

import (
	"fmt"
	"strings"
)

// column is one of the columns of a shop list.
type column int

const (
	colDomain column = iota
	colAccessToken
	colOrgID
	colLegacyToken
	colLegacyPassword
	colInstalledAt
	colExcludedReason
	colPriority
	columnCount
)

var columnNames = [columnCount]string{
	"domain", "access_token", "org_id", "legacy_token", "legacy_password", "installed_at", "excluded_reason", "priority",
}

func (c column) String() string { return columnNames[c] }

// isNumber tells that the column's values are whole numbers.
func (c column) isNumber() bool { return c == colOrgID || c == colPriority }

// Columns returns the names of all columns, in the order in which a Writer
// without a choice of its own writes them.
func Columns() []string { return append([]string(nil), columnNames[:]...) }

// alias holds names that other tools use, squashed (see squash). They serve for
// hints only.
var alias = map[string]column{
	"shop": colDomain, "shopdomain": colDomain, "store": colDomain, "host": colDomain, "url": colDomain,
	"shopurl": colDomain, "shopname": colDomain, "domains": colDomain, "myharavandomain": colDomain,
	"token": colAccessToken, "accesstoken": colAccessToken, "oauthtoken": colAccessToken, "apitoken": colAccessToken,
	"org": colOrgID, "orgid": colOrgID, "shopid": colOrgID, "organization": colOrgID, "organizationid": colOrgID,
	"legacytoken": colLegacyToken, "oldtoken": colLegacyToken,
	"legacypassword": colLegacyPassword, "password": colLegacyPassword,
	"installed": colInstalledAt, "installedat": colInstalledAt, "createdat": colInstalledAt, "installdate": colInstalledAt,
	"excluded": colExcludedReason, "excludedreason": colExcludedReason, "reason": colExcludedReason,
	"prio": colPriority, "importance": colPriority, "rank": colPriority,
}

// columnNamed finds a column by its name in any case, with spaces around it.
func columnNamed(name string) (column, bool) {
	name = strings.TrimSpace(name)
	for c, n := range columnNames {
		if strings.EqualFold(n, name) {
			return column(c), true
		}
	}
	return 0, false
}

// squash drops case and separators: "Access-Token" becomes "accesstoken".
func squash(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '_', '-', '.', '\t':
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// unknownName says that a name is no column, and what was probably meant. The
// name itself is shown only if it is one of ours by another spelling, or if its
// neighbours prove (trusted) that it is a name: in a list without a header it
// would be a token.
func unknownName(kind, name string, position int, trusted bool) string {
	if c, ok := alias[squash(name)]; ok {
		return fmt.Sprintf("%s %d %q is not known: call it %s", kind, position, strings.TrimSpace(name), c)
	}
	if trusted && isIdentifier(name) {
		return fmt.Sprintf("%s %d %q is not known", kind, position, strings.TrimSpace(name))
	}
	return fmt.Sprintf("%s %d is not known", kind, position)
}

func isIdentifier(name string) bool {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 40 {
		return false
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r == '-', r == ' ', r == '.':
		default: // also digits: nearly every token has one, and few names do
			return false
		}
	}
	return true
}
