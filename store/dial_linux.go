package store

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// giveUpSilent has the kernel give a connection up whose bytes are not
// acknowledged for a while: by itself it would try for a quarter of an hour.
func giveUpSilent(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if failed := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silentMost/time.Millisecond))
	}); failed != nil {
		return failed
	}
	return err
}
