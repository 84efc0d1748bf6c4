package secret

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tink-crypto/tink-go/v2/keyset"
)

var tokenColumn = Column{Table: "shops", Row: "17", Name: "access_token"}

func TestSealedValueOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	k := newTestKeyring(t)
	sealed := mustSeal(t, k, "token-1", tokenColumn)

	if got := mustOpen(t, k, sealed, tokenColumn); got.Reveal() != "token-1" {
		t.Errorf("opened %q, want what was sealed", got.Reveal())
	}
	for name, at := range map[string]Column{
		"another row":    {"shops", "18", "access_token"},
		"another column": {"shops", "17", "old_access_token"},
		"another table":  {"shop", "17", "access_token"},
		// The same characters cut differently: needs the length prefixes.
		"shifted boundary": {"shops1", "7", "access_token"},
		"shifted name":     {"shops", "17access", "_token"},
		"nowhere":          {},
	} {
		got, err := k.Open(sealed, at)
		if !errors.Is(err, ErrWrongPlace) || !got.IsZero() {
			t.Errorf("%s: opened with %v, want ErrWrongPlace", name, err)
		}
	}
}

func TestOpenTellsWhyAValueDoesNotOpen(t *testing.T) {
	t.Parallel()
	k, stranger := newTestKeyring(t), newTestKeyring(t)
	sealed := mustSeal(t, k, "token-1", tokenColumn)
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1

	tests := []struct {
		name   string
		k      *Keyring
		sealed []byte
		want   error
	}{
		{"another keyring", stranger, sealed, ErrUnknownKey},
		{"one bit flipped", k, altered, ErrWrongPlace},
		{"nil", k, nil, ErrNotSealed},
		{"plain text", k, []byte("shpat_0123456789012345678901234567890123456789"), ErrNotSealed},
		{"only the prefix", k, sealed[:5], ErrNotSealed},
		{"no room for a value", k, sealed[:5+12+16], ErrNotSealed},
		{"cut", k, sealed[:len(sealed)-1], ErrWrongPlace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.k.Open(tt.sealed, tokenColumn)
			if !errors.Is(err, tt.want) {
				t.Errorf("Open: %v, want %v", err, tt.want)
			}
			if !got.IsZero() {
				t.Error("Open returned a value with its error")
			}
		})
	}
}

// A key that was disabled in the file opens nothing, and is named as what is
// missing: the value is neither altered nor in a wrong place.
func TestDisabledKeyOpensNothing(t *testing.T) {
	t.Parallel()
	k := newTestKeyring(t)
	sealed := mustSeal(t, k, "token-1", tokenColumn)
	old := k.KeyID()
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	m := keyset.NewManagerFromHandle(k.keys.Load().sealing)
	if err := m.Disable(old); err != nil {
		t.Fatal(err)
	}
	h, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	without, err := newKeyring(h, k.keys.Load().fingerprint, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := without.Open(sealed, tokenColumn); !errors.Is(err, ErrUnknownKey) || !got.IsZero() {
		t.Errorf("opened with %v, want ErrUnknownKey", err)
	}
	mustOpen(t, without, mustSeal(t, without, "token-2", tokenColumn), tokenColumn)
}

func TestSealRefusesTheZeroString(t *testing.T) {
	t.Parallel()
	if sealed, err := newTestKeyring(t).Seal(String{}, tokenColumn); !errors.Is(err, ErrEmpty) || sealed != nil {
		t.Errorf("Seal(zero) = %x, %v, want ErrEmpty", sealed, err)
	}
}

func TestSealNeverRepeatsItself(t *testing.T) {
	t.Parallel()
	k := newTestKeyring(t)
	seen := map[string]bool{}
	for range 1000 {
		seen[string(mustSeal(t, k, "token-1", tokenColumn))] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 seals of one value gave %d ciphertexts: a nonce repeats", len(seen))
	}
}

func TestKeyIDNamesTheSealingKey(t *testing.T) {
	t.Parallel()
	k := newTestKeyring(t)
	before := mustSeal(t, k, "token-1", tokenColumn)
	first := k.KeyID()
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	after := mustSeal(t, k, "token-1", tokenColumn)

	if k.KeyID() == first {
		t.Fatal("Rotate kept the primary key")
	}
	if id, ok := KeyID(before); !ok || id != first {
		t.Errorf("KeyID(sealed before) = %d, %v, want %d", id, ok, first)
	}
	if id, ok := KeyID(after); !ok || id != k.KeyID() {
		t.Errorf("KeyID(sealed after) = %d, %v, want %d", id, ok, k.KeyID())
	}
	for _, sealed := range [][]byte{before, after} {
		if got := mustOpen(t, k, sealed, tokenColumn); got.Reveal() != "token-1" {
			t.Errorf("opened %q after Rotate", got.Reveal())
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	k, stranger := newTestKeyring(t), newTestKeyring(t)
	got := k.Fingerprint(New("token-1"))

	if len(got) != 16 || bytes.ContainsFunc([]byte(got), func(r rune) bool { return !bytes.ContainsRune([]byte("0123456789abcdef"), r) }) {
		t.Errorf("Fingerprint = %q, want 16 lower-case hexadecimal characters", got)
	}
	if again := k.Fingerprint(New("token-1")); again != got {
		t.Errorf("the same value has fingerprints %s and %s", got, again)
	}
	if other := k.Fingerprint(New("token-2")); other == got {
		t.Error("two values share a fingerprint")
	}
	if other := stranger.Fingerprint(New("token-1")); other == got {
		t.Error("two keyrings agree on a fingerprint: it is not keyed")
	}
	if zero := k.Fingerprint(String{}); zero != "" {
		t.Errorf("Fingerprint(zero) = %q, want none", zero)
	}
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if after := k.Fingerprint(New("token-1")); after != got {
		t.Error("Rotate changed a fingerprint: stored ones would no longer compare")
	}
}

// Sealing goes on while the keyring rotates; the race detector watches.
func TestKeyringIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	k := newTestKeyring(t)
	failed := make(chan error, 4)
	for range 4 {
		go func() {
			for range 200 {
				sealed, err := k.Seal(New("token-1"), tokenColumn)
				if err == nil {
					_, err = k.Open(sealed, tokenColumn)
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range 20 {
		if err := k.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func FuzzOpenRefusesForeignBytes(f *testing.F) {
	k, err := NewKeyring()
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := k.Seal(New("token-1"), tokenColumn)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add([]byte{1, 2, 3, 4, 5})
	f.Add(sealed[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := k.Open(b, tokenColumn)
		if err == nil || !got.IsZero() {
			t.Errorf("opened foreign bytes %x", b)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	k := newTestKeyring(b)
	s := New("0123456789abcdef0123456789abcdef0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Seal(s, tokenColumn); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := newTestKeyring(b)
	sealed := mustSeal(b, k, "0123456789abcdef0123456789abcdef0123456789abcdef", tokenColumn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(sealed, tokenColumn); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	k := newTestKeyring(b)
	s := New("0123456789abcdef0123456789abcdef0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		k.Fingerprint(s)
	}
}

func newTestKeyring(t testing.TB) *Keyring {
	t.Helper()
	k, err := NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustSeal(t testing.TB, k *Keyring, value string, at Column) []byte {
	t.Helper()
	sealed, err := k.Seal(New(value), at)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func mustOpen(t testing.TB, k *Keyring, sealed []byte, at Column) String {
	t.Helper()
	s, err := k.Open(sealed, at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
