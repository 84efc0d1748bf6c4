package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// A note, or what the platform said, may hold what a terminal heeds.
func TestJSONDrivesNoTerminal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a shop":                    `"a shop"`,
		"cửa hàng 漢字 🙂":             `"cửa hàng 漢字 🙂"`,
		"\x1b[31m\u009b31m\x7f\n":   `"\u001b[31m\u009b31m\u007f\n"`,
		"\u202egpj\u200b\U000e0041": `"\u202egpj\u200b\udb40\udc41"`,
	} {
		var stdout bytes.Buffer
		must(t, newCLI(nil, nil, &stdout, nil).printJSON(text))
		if got := stdout.String(); got != want+"\n" {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
		var back string
		if err := json.Unmarshal(stdout.Bytes(), &back); err != nil || back != text {
			t.Errorf("%q comes back as %q: %v", text, back, err)
		}
	}
}
