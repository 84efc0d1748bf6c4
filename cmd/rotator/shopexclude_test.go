package main

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
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

// What a shop that is taken in again may expect hangs on why it was skipped, and on
// where the run stands.
func TestAShopIsTakenInAgainOnlyByARunThatStillExchanges(t *testing.T) {
	t.Parallel()
	const again, next, stays = "taken in again when the others are settled", "the next run takes the shop in", "stays skipped"
	for name, tt := range map[string]struct {
		item  store.ItemInfo
		phase rotation.Phase
		want  string
	}{
		"in the exchange":      {store.ItemInfo{State: rotation.ItemSkipped, Detail: "excluded: test"}, rotation.PhaseExchanging, again},
		"before the revoke":    {store.ItemInfo{State: rotation.ItemSkipped, Detail: "excluded: test"}, rotation.PhaseProven, again},
		"after the revoke":     {store.ItemInfo{State: rotation.ItemSkipped, Detail: "excluded: test"}, rotation.PhaseRevoked, next},
		"skipped as frozen":    {store.ItemInfo{State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Detail: "frozen"}, rotation.PhaseExchanging, stays},
		"proven all the while": {store.ItemInfo{State: rotation.ItemProven}, rotation.PhaseProven, "goes on with the shop (proven)"},
	} {
		if got := afterExclusion(tt.item, tt.phase, false); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q in it", name, got, tt.want)
		}
	}
}

// Once it is taken in again, no command is named that was given already.
func TestExplainOfAShopThatIsTakenInAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env = append(r.env, "ROTATOR_API_URL=http://127.0.0.1:1")
	r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
	r.ok("domain,access_token\none,token-one\ntwo,token-two\n", "shop", "import", "-")
	r.ok("", "shop", "exclude", "one", "--reason", "test")
	r.ok("first", "secret", "add")
	r.ok("second", "secret", "add")
	r.ok("", "rotation", "start")
	if got := r.run("", "worker", "--once"); got.code != exitWaiting {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	if got := r.ok("", "rotation", "explain", "one").stdout; !strings.Contains(got, "--undo") {
		t.Errorf("while it is excluded: %s", got)
	}
	r.ok("", "shop", "exclude", "one", "--undo")
	if got := r.ok("", "rotation", "explain", "one").stdout; strings.Contains(got, "--undo") || !strings.Contains(got, "taken up when the others are settled") {
		t.Errorf("afterwards: %s", got)
	}
}
