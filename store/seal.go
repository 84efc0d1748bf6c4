package store

import (
	"strconv"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// The place of each sealed column. A row's name never changes, so that a sealed
// value never has to be sealed again only because its row was updated.

func secretAt(appID int64, version int) secret.Column {
	return secret.Column{Table: "secrets", Row: pair(appID, int64(version)), Name: "value"}
}

func refreshTokenAt(runID int64, fingerprint string) secret.Column {
	return secret.Column{Table: "refresh_tokens", Row: strconv.FormatInt(runID, 10) + "/" + fingerprint, Name: "value"}
}

func accessTokenAt(shopID int64) secret.Column {
	return secret.Column{Table: "shops", Row: strconv.FormatInt(shopID, 10), Name: "access_token"}
}

func legacyTokenAt(shopID int64) secret.Column {
	return secret.Column{Table: "shops", Row: strconv.FormatInt(shopID, 10), Name: "legacy_token"}
}

func newTokenAt(runID, position int64) secret.Column {
	return secret.Column{Table: "items", Row: pair(runID, position), Name: "new_token"}
}

func oldTokenAt(runID, position int64) secret.Column {
	return secret.Column{Table: "items", Row: pair(runID, position), Name: "old_token"}
}

func deliverKeyAt(appID int64) secret.Column {
	return secret.Column{Table: "receivers", Row: strconv.FormatInt(appID, 10), Name: "key"}
}

// opened opens a sealed value, or says why it does not open: one row that does
// not must not stop the others.
func (s *Store) opened(what string, sealed []byte, at secret.Column) (v secret.String, broken string) {
	v, err := s.keys.Open(sealed, at)
	if err != nil {
		return v, what + " does not open: " + err.Error()
	}
	return v, ""
}

func pair(a, b int64) string { return strconv.FormatInt(a, 10) + "/" + strconv.FormatInt(b, 10) }
