package haravansim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// quoteJSON makes a JSON string of any text.
func quoteJSON(text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil { // unreachable: strings always encode
		return []byte(`""`)
	}
	return quoted
}

// decodeStrict takes exactly one JSON value without unknown fields.
func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the body is empty")
		}
		return fmt.Errorf("the body does not fit: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body has something after its JSON value")
	}
	return nil
}
