package main

import (
	"strings"
	"testing"
)

// TestAReasonIsOneThatAListTakes: what excludes a shop is exported with it, and
// must not keep the list from being imported.
func TestAReasonIsOneThatAListTakes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
	r.ok("domain,access_token\none,token-one\n", "shop", "import", "-")
	for reason, want := range map[string]string{
		strings.Repeat("x", 501): "--reason is longer than 500 characters",
		"\x1b[31mred":            "--reason has a character that cannot be printed at character 1",
		"caf\xe9":                "--reason is not UTF-8",
	} {
		if got := r.run("", "shop", "exclude", "one", "--reason", reason); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%q: exit code %d: %s", reason, got.code, got.stderr)
		}
	}
	r.ok("", "shop", "exclude", "one", "--reason", " test shop,\r\nof \"the agency\" ")
	list := r.ok("", "shop", "export").stdout
	if got := r.ok(list, "shop", "import", "-", "--json").stdout; !strings.Contains(got, `"unchanged":1`) {
		t.Errorf("the list does not come back unchanged: %s", got)
	}
}
