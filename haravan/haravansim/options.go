package haravansim

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// MaxShops bounds a fleet.
const MaxShops = 20_000_000

const defaultHistory = 10_000

// App is the one application that the simulated shops installed.
type App struct {
	// ClientID is the API key; empty means one derived from the seed.
	ClientID string `json:"client_id"`
	// Name is shown by the management port only.
	Name string `json:"name"`
}

// Options say what to imitate. The zero value is a polite platform without shops.
type Options struct {
	// Seed decides every token, identity, fault and delay.
	Seed uint64
	// App is the application; its zero value is filled in.
	App App
	// Shops is the size of the fleet, at most MaxShops.
	Shops int
	// Legacy is how many of them, the first ones, the app knows by a legacy
	// token or password only, as issued under secret version 1.
	Legacy int
	// Faults are drawn by rate; the zero value draws none. See Hostile.
	Faults Faults
	// Knobs settle what Haravan's documents leave open; zero fields mean the
	// defaults that Knobs documents.
	Knobs Knobs
	// Latency is added to every platform call, and up to Jitter more. Half of
	// the calls spend it before they take effect and half after, so a client
	// that gives up cannot know whether a token was minted.
	Latency, Jitter time.Duration
	// Now is the clock that Advance moves on from; nil means time.Now.
	Now func() time.Time
	// Log receives dashboard actions at Info and calls at Debug; nil is silent.
	Log *slog.Logger
	// History is how many calls are kept: 0 means 10,000, -1 none.
	History int
	// AllowRemote lets Start listen on addresses other than loopback.
	AllowRemote bool
}

// Validate reports every mistake at once.
func (o Options) Validate() error {
	var errs []error
	if o.Shops < 0 || o.Shops > MaxShops {
		errs = append(errs, fmt.Errorf("shops is %d: use 0 to %d", o.Shops, MaxShops))
	}
	if fleet := max(o.Shops, 0); o.Legacy < 0 || o.Legacy > fleet {
		errs = append(errs, fmt.Errorf("legacy is %d: use 0 to the %d shops of the fleet", o.Legacy, fleet))
	}
	if o.Latency < 0 || o.Jitter < 0 || o.Latency > maxSpan || o.Jitter > maxSpan {
		errs = append(errs, fmt.Errorf("latency is %s and jitter %s: use 0 to ten years", o.Latency, o.Jitter))
	}
	if o.History < -1 {
		errs = append(errs, fmt.Errorf("history is %d: use -1 for none, 0 for %d, or a number of calls", o.History, defaultHistory))
	}
	return errors.Join(append(errs, o.Faults.Validate(), o.Knobs.Validate())...)
}
