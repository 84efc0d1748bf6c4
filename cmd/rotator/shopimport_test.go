package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/haravan-rotator/rotator/internal/shopfile"
)

func appRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
	return r
}

func TestImportReportsThousandsOfProblems(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	var list strings.Builder
	list.WriteString("domain,access_token\n")
	for i := range 1500 {
		fmt.Fprintf(&list, "shop-%d,\n", i)
	}
	list.WriteString("good,token\n")
	got := r.run(list.String(), "shop", "import", "-", "--json")
	var sum importSummary
	if err := json.Unmarshal([]byte(got.stdout), &sum); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	if got.code != exitFailed || sum.Bad != 1500 || sum.Rows != 1 || sum.Imported || len(sum.Problems) != shopfile.MaxKeptProblems {
		t.Errorf("exit code %d: %d bad, %d good, %d problems", got.code, sum.Bad, sum.Rows, len(sum.Problems))
	}
	if n := strings.Count(got.stderr, "\nline "); n != shopfile.MaxKeptProblems-1 {
		t.Errorf("%d lines of problems after the first", n)
	}
	if !strings.Contains(got.stderr, "\n… and 500 more\n") {
		t.Errorf("the rest is not counted: %s", got.stderr[len(got.stderr)-200:])
	}
	if got := r.run(list.String(), "shop", "import", "-", "--skip-bad"); got.code != exitExceptions {
		t.Errorf("with --skip-bad: exit code %d", got.code)
	}
	if got := r.ok("", "shop", "list", "--json"); strings.Count(got.stdout, "\n") != 1 {
		t.Errorf("stored: %s", got.stdout)
	}
}

// The list of the first comes through a pipe that is still open.
func TestASecondImportSaysThatItWaits(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	in, feed := io.Pipe()
	first := make(chan int, 1)
	go func() {
		first <- run(t.Context(), []string{"shop", "import", "-"}, r.env, in, io.Discard, io.Discard)
	}()
	_, err := io.WriteString(feed, "domain,access_token\na,token\n") // it has the lock
	must(t, err)
	pipe, says, err := os.Pipe()
	must(t, err)
	second := make(chan int, 1)
	go func() {
		second <- run(t.Context(), []string{"shop", "import", "-"}, r.env, strings.NewReader("domain,access_token\nb,token\n"), io.Discard, says)
		_ = says.Close()
	}()
	if line, err := bufio.NewReader(pipe).ReadString('\n'); err != nil || !strings.HasPrefix(line, "waiting for another command that changes app main") {
		t.Errorf("said %q, %v", line, err)
	}
	must(t, feed.Close())
	if a, b := <-first, <-second; a != exitDone || b != exitDone {
		t.Errorf("exit codes %d and %d", a, b)
	}
}

// Domains are for all to read, tokens are not.
func TestExportIntoARedirectedFile(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	r.ok("domain,access_token\na,hush\n", "shop", "import", "-")
	for columns, want := range map[string]struct {
		code int
		text string
	}{
		"domain,org_id":       {exitDone, "domain,org_id\na.myharavan.com,\n"},
		"domain,access_token": {exitFailed, ""},
	} {
		path := filepath.Join(r.dir, columns)
		file, err := os.Create(path)
		must(t, err)
		must(t, file.Chmod(0o644))
		code := run(t.Context(), []string{"shop", "export", "--columns", columns}, r.env, strings.NewReader(""), file, io.Discard)
		must(t, file.Close())
		if text, err := os.ReadFile(path); err != nil || code != want.code || string(text) != want.text {
			t.Errorf("%s: exit code %d, %q, %v", columns, code, text, err)
		}
	}
}

// TestInterruptedImportStoresNothing: the list comes through a pipe that is
// still open when the operator gives up.
func TestInterruptedImportStoresNothing(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	in, feed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() {
		var stdout, stderr strings.Builder
		code := run(ctx, []string{"shop", "import", "-"}, r.env, in, &stdout, &stderr)
		ended <- result{code, stdout.String(), stderr.String()}
	}()
	if _, err := io.WriteString(feed, "domain,access_token\none,token-one\n"); err != nil {
		t.Fatal(err)
	}
	cancel()
	got := <-ended
	if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, "interrupted") {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	_ = feed.Close() // never fails
	if got := r.ok("", "shop", "list", "--json"); got.stdout != "" {
		t.Errorf("stored: %s", got.stdout)
	}
}

func TestListingPages(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	var list strings.Builder
	list.WriteString("domain,access_token\n")
	const shops = 2*shopPage + 1
	for i := range shops {
		fmt.Fprintf(&list, "shop-%d,token-%d\n", i, i)
	}
	r.ok(list.String(), "shop", "import", "-", "--format", "csv")
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"--limit", "0"}, shops},
		{nil, shops},
		{[]string{"--limit", fmt.Sprint(shopPage)}, shopPage},
		{[]string{"--limit", fmt.Sprint(shopPage + 1)}, shopPage + 1},
		{[]string{"--limit", "0", "--after", fmt.Sprintf("shop-%d", shops-1)}, 0},
	} {
		got := r.ok("", append([]string{"shop", "list", "--json"}, tt.args...)...)
		if n := strings.Count(got.stdout, "\n"); n != tt.want {
			t.Errorf("%v lists %d shops, want %d", tt.args, n, tt.want)
		}
	}
	if got := r.ok("", "shop", "list"); strings.Count(got.stdout, "\n") != 101 {
		t.Errorf("a page for a person has %d lines", strings.Count(got.stdout, "\n"))
	}
	if got := r.ok("", "shop", "list", "--limit", fmt.Sprint(shops)); got.stderr != "" || strings.Count(got.stdout, "\n") != shops+1 {
		t.Errorf("the last page points to another: %s", got.stderr)
	}
}

// TestFailedExportLeavesNothing: the file appears when it is complete.
func TestFailedExportLeavesNothing(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	r.ok("domain,access_token\none,token-one\n", "shop", "import", "-")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := r.dir + "/out.csv"
	if got := runOnce(ctx, r.env, "", "shop", "export", "--output", path); got.code != exitFailed {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	left, err := os.ReadDir(r.dir)
	if err != nil || len(left) != 1 { // the keyring
		t.Errorf("left behind: %v, %v", left, err)
	}
	if got := r.ok("", "journal", "list"); strings.Contains(got.stdout, "shops.exported") {
		t.Errorf("an export that wrote nothing is in the journal: %s", got.stdout)
	}
}

// The connection is lost when the server has been told to commit, and before it
// says that it did.
func TestAnImportThatMayBeStoredDoesNotDenyIt(t *testing.T) {
	t.Parallel()
	r := appRig(t)
	there, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
	cfg, err := pgx.ParseConfig(there)
	must(t, err)
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial(network, address)
			if err != nil {
				t.Error(err)
				return
			}
			go cutAtCommit(client, server)
		}
	}()
	env := slices.Clone(r.env)
	env[0] = fmt.Sprintf("DATABASE_URL=postgres://%s@%s/%s?sslmode=disable", cfg.User, l.Addr(), cfg.Database)
	list := "domain,access_token\na,token\n"
	got := runOnce(t.Context(), env, list, "shop", "import", "-")
	if got.code != exitFailed || !strings.Contains(got.stderr, "did not say whether it stored") || strings.Contains(got.stderr, "nothing was stored") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := r.ok(list, "shop", "import", "-"); !strings.Contains(got.stdout, "unchanged:     1\n") {
		t.Errorf("it was not stored: %s", got.stdout)
	}
}

// cutAtCommit hands on what two say to each other, but not the answer to a commit.
func cutAtCommit(client, server net.Conn) {
	var committed atomic.Bool
	go func() {
		defer server.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			committed.Store(bytes.Contains(buf[:n], []byte("commit\x00")))
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	defer client.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		if err != nil || committed.Load() {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}
