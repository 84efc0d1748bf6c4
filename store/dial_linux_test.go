package store

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// A host that vanished must not keep a worker waiting for most of a window.
func TestConnectionsNoticeAHostThatVanished(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg, err := poolConfig(secret.New("postgres://"+l.Addr().String()+"/x?connect_timeout=3"), "test", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cfg.ConnConfig.DialFunc(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for option, most := range map[int]int{unix.TCP_USER_TIMEOUT: 30_000, unix.TCP_KEEPIDLE: 30, unix.TCP_KEEPINTVL: 10, unix.TCP_KEEPCNT: 5} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); err != nil || got <= 0 || got > most {
				t.Errorf("option %d is %d, want %d at most: %v", option, got, most, err)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}
