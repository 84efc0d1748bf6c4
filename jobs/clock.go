package jobs

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// databaseClock is the database's clock, as far as this process knows it. River
// says by its own clock when a job is due and asks for jobs by the server's: where
// this machine's clock is ahead, each would wait for the difference.
type databaseClock struct {
	log *slog.Logger
	// ahead is how far the database's clock is ahead of this machine's, in
	// nanoseconds; 0 while they agree.
	ahead atomic.Int64
}

const (
	// clocksAgree is the difference that is not worth correcting, besides that which
	// the way to the database can make.
	clocksAgree = 50 * time.Millisecond
	// skewWarned is the difference of which the log tells.
	skewWarned = time.Minute
)

// read notes what the database's clock showed between two moments of this machine's.
func (c *databaseClock) read(before, after, shown time.Time) {
	least, most := shown.Sub(after)-clocksAgree, shown.Sub(before)+clocksAgree
	was := time.Duration(c.ahead.Load())
	if least <= was && was <= most {
		return // a long way tells no more than is known
	}
	ahead := least + (most-least)/2
	if least <= 0 && 0 <= most {
		ahead = 0
	}
	c.ahead.Store(int64(ahead))
	if (ahead - was).Abs() >= skewWarned {
		c.log.Warn("the clocks of the database and of this machine differ: the window is counted by the database's",
			"database_ahead", ahead.Round(time.Second), "before", was.Round(time.Second))
	}
}

// Now implements rivertype.TimeGenerator.
func (c *databaseClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// NowOrNil implements rivertype.TimeGenerator: nil where the server's own now() is
// as good.
func (c *databaseClock) NowOrNil() *time.Time {
	if c.ahead.Load() == 0 {
		return nil
	}
	now := c.Now()
	return &now
}
