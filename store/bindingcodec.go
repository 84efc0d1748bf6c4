package store

import (
	"encoding/base64"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// boundAt is the place of a value in a bound table: the table with its schema,
// the row's key as text, the column. A value that was sealed elsewhere does not
// open there.
func (b Binding) boundAt(column, key string) secret.Column {
	return secret.Column{Table: b.Name(), Row: key, Name: column}
}

// decode reads a column's value, as boundTable.value selects it. The zero value
// is no token. Under CodecSealed a value without a seal's shape is taken as it
// is, so that a plain table becomes a sealed one swap by swap.
func (b *boundTable) decode(keys *secret.Keyring, column, key string, text *string) (secret.String, error) {
	if text == nil || *text == "" {
		return secret.String{}, nil
	}
	if b.Codec == CodecPlain {
		return secret.New(*text), nil
	}
	// base64 of PostgreSQL has line ends, which Go's decoder skips.
	raw, err := base64.StdEncoding.DecodeString(*text)
	if _, sealed := secret.KeyID(raw); err == nil && sealed {
		return keys.Open(raw, b.boundAt(column, key))
	}
	if b.bytes[column] {
		return secret.New(string(raw)), nil
	}
	return secret.New(*text), nil
}

// encode is what boundTable.updateColumn takes for a token.
func (b *boundTable) encode(keys *secret.Keyring, column, key string, v secret.String) (string, error) {
	if b.Codec == CodecPlain {
		return v.Reveal(), nil
	}
	raw, err := keys.Seal(v, b.boundAt(column, key))
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}
