package secret

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// What can be wrong with a sealed value. Each is returned wrapped with the
// Column and what to do; test with errors.Is.
var (
	// ErrNotSealed means that the bytes are no sealed value at all.
	ErrNotSealed = errors.New("not a sealed value")
	// ErrUnknownKey means that the value was sealed by a key that this keyring
	// does not hold: the wrong keyring, or one from before a rotation of it.
	ErrUnknownKey = errors.New("sealed by a key that this keyring does not hold")
	// ErrWrongPlace means that the keyring holds the key, but the value does
	// not open as this Column: it was moved here or altered.
	ErrWrongPlace = errors.New("value does not open here: it was moved from another column or row, or altered")
	// ErrEmpty means that there is no value to seal. A sealed empty token would
	// look in the database like a token.
	ErrEmpty = errors.New("no value to seal")
)

// fingerprintBytes is the length of a fingerprint before hex: 64 bits, a
// collision among a million values has a chance of about 1 in 37 million.
const fingerprintBytes = 8

// Keyring seals and opens Strings and makes their fingerprints. It is safe for
// concurrent use: sealing and opening take no lock and parse nothing.
type Keyring struct {
	rotating sync.Mutex // one Rotate or Save at a time
	path     string     // file that Rotate replaces; "" in memory
	keys     atomic.Pointer[keys]
}

// keys is one state of a keyring, with its primitives built once: Tink takes
// tens of times as long to build them as to seal a value.
type keys struct {
	sealing     *keyset.Handle
	fingerprint *keyset.Handle

	primary uint32
	held    map[uint32]bool
	aead    tink.AEAD
	prf     prf.PRF
}

// NewKeyring makes a fresh keyring in memory, for demos and tests. What it seals
// is lost with the process, unless Save is called.
func NewKeyring() (*Keyring, error) {
	sealing, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make sealing key: %w", err)
	}
	// HMAC rather than HKDF: enough for one short output, and cheaper per call.
	fingerprint, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make fingerprint key: %w", err)
	}
	return newKeyring(sealing, fingerprint, "")
}

func newKeyring(sealing, fingerprint *keyset.Handle, path string) (*Keyring, error) {
	k := &Keyring{path: path}
	ks, err := newKeys(sealing, fingerprint)
	if err != nil {
		return nil, err
	}
	k.keys.Store(ks)
	return k, nil
}

func newKeys(sealing, fingerprint *keyset.Handle) (*keys, error) {
	ks := &keys{sealing: sealing, fingerprint: fingerprint, held: map[uint32]bool{}}
	info := sealing.KeysetInfo()
	ks.primary = info.GetPrimaryKeyId()
	for _, key := range info.GetKeyInfo() {
		if key.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return nil, fmt.Errorf("use sealing key %d: it does not put its id before what it seals", key.GetKeyId())
		}
		ks.held[key.GetKeyId()] = key.GetStatus() == tinkpb.KeyStatusType_ENABLED
	}
	var err error
	if ks.aead, err = aead.New(sealing); err != nil {
		return nil, fmt.Errorf("use sealing keys: %w", err)
	}
	set, err := prf.NewPRFSet(fingerprint)
	if err != nil {
		return nil, fmt.Errorf("use fingerprint key: %w", err)
	}
	ks.prf = set.PRFs[set.PrimaryID]
	if ks.prf == nil {
		return nil, errors.New("use fingerprint key: none is marked as primary")
	}
	// Fingerprint has no error to return, so a key that cannot is refused here.
	if _, err := ks.prf.ComputePRF(nil, fingerprintBytes); err != nil {
		return nil, fmt.Errorf("use fingerprint key: %w", err)
	}
	return ks, nil
}

// Seal encrypts s under the primary key for the one place at. Sealing the same
// value twice gives different bytes. The zero String is refused with ErrEmpty.
func (k *Keyring) Seal(s String, at Column) ([]byte, error) {
	if s.IsZero() {
		return nil, fmt.Errorf("seal %v: %w", at, ErrEmpty)
	}
	sealed, err := k.keys.Load().aead.Encrypt([]byte(s.Reveal()), at.associatedData())
	if err != nil {
		return nil, fmt.Errorf("seal %v: %w", at, err)
	}
	return sealed, nil
}

// Open decrypts what Seal returned for the same place. The error wraps
// ErrNotSealed, ErrUnknownKey or ErrWrongPlace.
func (k *Keyring) Open(sealed []byte, at Column) (String, error) {
	id, ok := KeyID(sealed)
	if !ok {
		return String{}, fmt.Errorf("open %v: %w", at, ErrNotSealed)
	}
	ks := k.keys.Load()
	if !ks.held[id] {
		return String{}, fmt.Errorf("open %v: key %d: %w: use the keyring file that belongs to this database", at, id, ErrUnknownKey)
	}
	plain, err := ks.aead.Decrypt(sealed, at.associatedData())
	if err != nil {
		// Tink says only that it failed; GCM cannot tell altered from moved.
		return String{}, fmt.Errorf("open %v: key %d: %w", at, id, ErrWrongPlace)
	}
	return New(string(plain)), nil
}

// Fingerprint returns 16 lower-case hexadecimal characters that are the same
// for the same value under the same keyring, wherever it lives, and tell nothing
// about the value to who lacks the keyring. The zero String has "".
func (k *Keyring) Fingerprint(s String) string {
	if s.IsZero() {
		return ""
	}
	sum, err := k.keys.Load().prf.ComputePRF([]byte(s.Reveal()), fingerprintBytes)
	if err != nil {
		// newKeys tried this key: a short output cannot fail afterwards, and an
		// empty fingerprint would make different values look equal.
		panic(fmt.Sprintf("fingerprint: %v", err))
	}
	return hex.EncodeToString(sum)
}

// KeyID returns the id of the primary key, the one that Seal uses.
func (k *Keyring) KeyID() uint32 { return k.keys.Load().primary }

// KeyID returns the id of the key that sealed the value, and whether the bytes
// have the shape of a sealed value. Source: Tink, "Wire format", output prefix.
func KeyID(sealed []byte) (uint32, bool) {
	const (
		start    = 0x01
		prefix   = 5       // start byte and key id
		overhead = 12 + 16 // GCM nonce and tag
	)
	if len(sealed) <= prefix+overhead || sealed[0] != start {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:prefix]), true
}

// String implements fmt.Stringer.
func (*Keyring) String() string { return Redacted }

// GoString implements fmt.GoStringer.
func (*Keyring) GoString() string { return Redacted }

// Format implements fmt.Formatter, so that no verb walks down to the keys.
func (*Keyring) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// MarshalText implements encoding.TextMarshaler, and with it JSON's encoding.
func (*Keyring) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue implements slog.LogValuer.
func (*Keyring) LogValue() slog.Value { return slog.StringValue(Redacted) }
