package haravan

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// rawServer hands every connection to handle, which does what no HTTP server
// would. It returns the server's URL.
func rawServer(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return "http://" + listener.Addr().String()
}

// readRequest takes one whole request off the connection.
func readRequest(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

func reset(c *net.TCPConn) { _ = c.SetLinger(0) }

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	answer := func(text string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			readRequest(c)
			_, _ = io.WriteString(c, text)
		}
	}
	for name, tt := range map[string]struct {
		handle func(*net.TCPConn)
		class  rotation.Class
		acted  bool
		cause  error
	}{
		"closed without an answer": {readRequestOnly, rotation.ClassNetwork, true, io.ErrUnexpectedEOF},
		"reset without an answer": {
			func(c *net.TCPConn) { readRequest(c); reset(c) }, rotation.ClassNetwork, true, syscall.ECONNRESET,
		},
		"half a status line":  {answer("HTTP/1.1 20"), rotation.ClassBadAnswer, true, nil},
		"half the headers":    {answer("HTTP/1.1 200 OK\r\nContent-Le"), rotation.ClassBadAnswer, true, nil},
		"not HTTP":            {answer("220 mail ready\r\n\r\n"), rotation.ClassBadAnswer, true, nil},
		"broken header":       {answer("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), rotation.ClassBadAnswer, true, nil},
		"switched protocols":  {hangingAnswer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc"), rotation.ClassBadAnswer, true, nil},
		"status of no class":  {hangingAnswer("HTTP/1.1 000 \r\nContent-Length: 0\r\n\r\n"), rotation.ClassBadAnswer, true, nil},
		"only interim":        {answer(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 10_000)), rotation.ClassBadAnswer, true, nil},
		"endless headers":     {answer("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20<<10)), rotation.ClassBadAnswer, true, nil},
		"truncated":           {answer("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{\"access_token\":\"t\"}"), rotation.ClassBadAnswer, true, io.ErrUnexpectedEOF},
		"truncated chunks":    {answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"access_token\":\"t\"}\r\n"), rotation.ClassBadAnswer, true, io.ErrUnexpectedEOF},
		"broken chunks":       {answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), rotation.ClassBadAnswer, true, nil},
		"truncated refusal":   {answer("HTTP/1.1 401 No\r\nContent-Length: 60\r\n\r\n{\"error\":\"invalid_client\"}"), rotation.ClassBadAnswer, false, io.ErrUnexpectedEOF},
		"truncated 429":       {answer("HTTP/1.1 429 No\r\nContent-Length: 60\r\n\r\n"), rotation.ClassRateLimited, false, io.ErrUnexpectedEOF},
		"truncated 500":       {answer("HTTP/1.1 500 No\r\nContent-Length: 60\r\n\r\n"), rotation.ClassPlatform, true, io.ErrUnexpectedEOF},
		"no length, no chunk": {answer("HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"t"), rotation.ClassBadAnswer, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := clientOf(t, rawServer(t, tt.handle))
			_, err := client.Exchange(t.Context(), exchangeRequest())
			e := failed(t, err, tt.class)
			if e.Acted != tt.acted {
				t.Errorf("acted %v, want %v: %v", e.Acted, tt.acted, e)
			}
			if !errors.Is(e.Err, tt.cause) {
				t.Errorf("cause %v, want %v", e.Err, tt.cause)
			}
			_, err = client.Identity(t.Context(), testShop, secret.New("t"))
			if !errors.As(err, &e) || e.Acted {
				t.Errorf("an identity read acted: %v", err)
			}
		})
	}
}

// hangingAnswer keeps the connection until the client leaves it.
func hangingAnswer(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		readRequest(c)
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	}
}

func readRequestOnly(c *net.TCPConn) { readRequest(c) }

func TestRefusedConnectionDidNotAct(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	_, err = clientOf(t, "http://"+listener.Addr().String()).Exchange(t.Context(), exchangeRequest())
	e := failed(t, err, rotation.ClassNetwork)
	if e.Acted || !errors.Is(err, syscall.ECONNREFUSED) || e.Status != 0 {
		t.Errorf("%+v", e)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(c *net.TCPConn) { readRequest(c); _, _ = io.Copy(io.Discard, c) })
	client := clientOf(t, url, func(c *Config) { c.Timeout = 500 * time.Millisecond })
	_, err := client.Exchange(t.Context(), exchangeRequest())
	if e := failed(t, err, rotation.ClassNetwork); !e.Acted || !errors.Is(err, context.DeadlineExceeded) || e.Meta.Latency < 500*time.Millisecond {
		t.Errorf("%+v", e)
	}
	slow := rawServer(t, func(c *net.TCPConn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"access_token\"")
		_, _ = io.Copy(io.Discard, c)
	})
	_, err = clientOf(t, slow, func(c *Config) { c.Timeout = 500 * time.Millisecond }).Exchange(t.Context(), exchangeRequest())
	if e := failed(t, err, rotation.ClassNetwork); !e.Acted || !errors.Is(err, context.DeadlineExceeded) || e.Status != 200 {
		t.Errorf("in the body: %+v", e)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	url := rawServer(t, func(c *net.TCPConn) {
		readRequest(c)
		close(arrived)
		_, _ = io.Copy(io.Discard, c)
	})
	client := clientOf(t, url)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(errors.New("refresh-token"))
	}()
	_, err := client.Exchange(ctx, exchangeRequest())
	if e := failed(t, err, rotation.ClassNetwork); !e.Acted || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v", e)
	}
	_, err = client.Exchange(ctx, exchangeRequest())
	if e := failed(t, err, rotation.ClassNetwork); e.Acted || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before it began: %+v", e)
	}
}

// A connection that the host closed while it was idle must not cost a call, nor
// be mistaken for a call that may have acted.
func TestIdleConnectionClosedByHost(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"access_token\":\"t\"}"
	closed := make(chan struct{}, 8)
	url := rawServer(t, func(c *net.TCPConn) {
		readRequest(c)
		_, _ = io.WriteString(c, ok)
		_ = c.Close()
		closed <- struct{}{}
	})
	client := clientOf(t, url)
	for i := range 5 {
		_, err := client.Exchange(t.Context(), exchangeRequest())
		if e := (*Error)(nil); errors.As(err, &e) {
			// The transport may find out only after writing; then it is unknown,
			// and no other connection was made, whose end could be waited for.
			if i == 0 || !e.Acted {
				t.Errorf("exchange %d: %+v", i, e)
			}
			continue
		}
		<-closed
	}
}

func TestOutgoingIsRevokedOrTaken(t *testing.T) {
	t.Parallel()
	o := &outgoing{data: []byte("abc")}
	if o.revoke() {
		t.Error("taken before any read")
	}
	if n, err := o.open().Read(make([]byte, 8)); n != 0 || err == nil {
		t.Errorf("read %d bytes of a revoked body, %v", n, err)
	}
	o = &outgoing{data: []byte("abc")}
	first := o.open()
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	again, _ := o.reopen()
	if all, err := io.ReadAll(again); string(all) != "abc" || err != nil {
		t.Errorf("reopened: %q, %v", all, err)
	}
	if !o.revoke() {
		t.Error("not taken after a read")
	}
}
