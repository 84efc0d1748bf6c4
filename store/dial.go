package store

import (
	"net"
	"time"
)

// silentMost is how long a server may be silent as a network, neither
// acknowledging what it was sent nor that it is there: a host that vanished, as at
// a failover, does not say so. Statements may take longer; their server's kernel
// answers meanwhile.
const silentMost = 20 * time.Second

// dialer makes connections that notice.
func dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:         timeout,
		Control:         giveUpSilent,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silentMost / 2, Interval: silentMost / 4, Count: 2},
	}
}
