package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// The name and version that a keyring file begins with.
const (
	fileFormat  = "rotator-keyring"
	fileVersion = 1
)

// keyringFile is the file's JSON: two Tink keysets in Tink's own JSON form.
type keyringFile struct {
	Format      string          `json:"format"`
	Version     int             `json:"version"`
	Sealing     json.RawMessage `json:"sealing"`
	Fingerprint json.RawMessage `json:"fingerprint"`
}

func (ks *keys) encode() ([]byte, error) {
	sealing, err := encodeKeyset(ks.sealing)
	if err != nil {
		return nil, fmt.Errorf("encode sealing keys: %w", err)
	}
	fingerprint, err := encodeKeyset(ks.fingerprint)
	if err != nil {
		return nil, fmt.Errorf("encode fingerprint key: %w", err)
	}
	b, err := json.MarshalIndent(keyringFile{
		Format: fileFormat, Version: fileVersion, Sealing: sealing, Fingerprint: fingerprint,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode keyring: %w", err)
	}
	return append(b, '\n'), nil
}

func encodeKeyset(h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decodeKeyring parses a keyring file. Its errors never quote the file, and so
// leave out what the JSON and Tink parsers say: they quote what they stumble on.
func decodeKeyring(b []byte) (*keys, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, errors.New("file is empty: restore it from a backup")
	}
	var f keyringFile
	if err := json.Unmarshal(b, &f); err != nil {
		if bytes.Contains(b, []byte(fileFormat)) {
			return nil, errors.New("file is truncated or damaged: restore it from a backup")
		}
		return nil, errors.New("file is not a rotator keyring: check the path")
	}
	if f.Format != fileFormat {
		return nil, errors.New("file is not a rotator keyring: check the path")
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("file has version %d, this rotator knows version %d: use a matching rotator", f.Version, fileVersion)
	}
	sealing, err := decodeKeyset(f.Sealing)
	if err != nil {
		return nil, fmt.Errorf("sealing keys: %w", err)
	}
	fingerprint, err := decodeKeyset(f.Fingerprint)
	if err != nil {
		return nil, fmt.Errorf("fingerprint key: %w", err)
	}
	return newKeys(sealing, fingerprint)
}

func decodeKeyset(b json.RawMessage) (*keyset.Handle, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, errors.New("missing or damaged: restore the file from a backup")
	}
	return h, nil
}
