package secret

import (
	"crypto/subtle"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
)

// Redacted is what a String shows of itself, whatever it is printed with.
const Redacted = "[redacted]"

var errNoValue = errors.New("refuse to write an unsealed secret to the database: seal it first")

// String holds a token or a secret. It has no exported field and every way of
// printing, logging or encoding it yields Redacted; Reveal is the one way out,
// so that a search for Reveal finds every place where a value leaves.
//
// The zero String means "no value". Strings are compared with Equal; == does
// not compile.
type String struct {
	// v is a pointer because fmt does not call the methods of a String held in
	// an unexported field of another struct: there it prints this field, and of
	// a pointer it prints the address only. Nil means no value.
	v *string
	_ [0]func() // == would compare addresses
}

// New wraps v. New("") is the zero String.
func New(v string) String {
	if v == "" {
		return String{}
	}
	return String{v: &v}
}

// Reveal returns the value itself.
func (s String) Reveal() string {
	if s.v == nil {
		return ""
	}
	return *s.v
}

// IsZero reports whether s holds no value.
func (s String) IsZero() bool { return s.v == nil }

// Equal compares in time that does not depend on where the values differ.
func (s String) Equal(o String) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String implements fmt.Stringer.
func (String) String() string { return Redacted }

// GoString implements fmt.GoStringer, for %#v.
func (String) GoString() string { return Redacted }

// Format implements fmt.Formatter, so that no verb (%x, %q, %d) reaches v.
func (String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalText implements encoding.TextMarshaler, and with it JSON's encoding.
func (String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements slog.LogValuer.
func (String) LogValue() slog.Value { return slog.StringValue(Redacted) }

// Value implements driver.Valuer and always fails.
func (String) Value() (driver.Value, error) { return nil, errNoValue }
