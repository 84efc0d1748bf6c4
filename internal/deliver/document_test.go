package deliver

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestReceiverOfTheDocuments builds the receiver that docs/deliveries.md shows, as it is
// printed there, and sends it what a receiver gets in its life.
func TestReceiverOfTheDocuments(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/deliveries.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(page), "\n```go\n")
	code, _, closed := strings.Cut(code, "\n```\n")
	if !found || !closed {
		t.Fatal("docs/deliveries.md has no receiver in Go")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "receiver", "main.go")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the receiver: %v\n%s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, key := free.Addr().String(), NewKey()
	_ = free.Close() // for the receiver to take
	receiver := exec.Command(filepath.Join(dir, "receiver"))
	receiver.Env = append(os.Environ(), "LISTEN="+at, "DELIVER_KEY="+key.Reveal())
	said, err := receiver.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(); err != nil {
		t.Fatal(err)
	}
	stored := make(chan string, 100)
	go func() {
		defer close(stored)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			stored <- lines.Text()
		}
	}()
	s, url := NewSender(Config{}), "http://"+at+"/tokens"
	t.Cleanup(s.CloseIdle)
	deadline := time.Now().Add(30 * time.Second)
	for s.Send(t.Context(), url, NewKey(), message).Status == 0 { // unsigned for it: it only tells that it listens
		if time.Now().After(deadline) {
			t.Fatal("the receiver does not listen")
		}
	}
	older, newer := message, message
	older.ID, older.Generation = "msg_older", message.Generation-1
	newer.ID, newer.Generation = "msg_newer", message.Generation+1
	for _, m := range []Message{message, message, older, newer, message} {
		if got := s.Send(t.Context(), url, key, m); !got.Acknowledged() {
			t.Errorf("generation %d: %+v", m.Generation, got)
		}
	}
	signing, err := keyBytes(key)
	if err != nil {
		t.Fatal(err)
	}
	for what, forge := range map[string]func(*http.Request, []byte){
		"another key": func(r *http.Request, body []byte) {
			r.Header.Set("webhook-signature", sign([]byte("no key"), "msg_f", time.Now(), body))
		},
		"another body": func(r *http.Request, body []byte) {
			r.Header.Set("webhook-signature", sign(signing, "msg_f", time.Now(), append(body, ' ')))
		},
		"another id": func(r *http.Request, body []byte) {
			r.Header.Set("webhook-signature", sign(signing, "msg_g", time.Now(), body))
		},
		"replayed later": func(r *http.Request, body []byte) {
			then := time.Now().Add(-time.Hour)
			r.Header.Set("webhook-timestamp", strconv.FormatInt(then.Unix(), 10))
			r.Header.Set("webhook-signature", sign(signing, "msg_f", then, body))
		},
		"unsigned": func(*http.Request, []byte) {},
	} {
		body, err := newer.body()
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("webhook-id", "msg_f")
		req.Header.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix(), 10))
		forge(req, body)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close() // only its status counts
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", what, answer.Status)
		}
	}
	if err := receiver.Process.Kill(); err != nil {
		t.Error(err)
	}
	var lines []string
	for line := range stored {
		lines = append(lines, line)
	}
	_ = receiver.Wait() // it was killed
	all := strings.Join(lines, "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "generation 7") || !strings.HasSuffix(lines[1], "generation 8") || strings.Contains(all, message.Token.Reveal()) {
		t.Errorf("the receiver stored:\n%s", all)
	}
}
