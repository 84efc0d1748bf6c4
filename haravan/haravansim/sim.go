package haravansim

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Sim is the platform. Its methods may be called at any time from any goroutine.
type Sim struct {
	opts    Options
	seed    uint64
	app     App
	log     *slog.Logger
	offset  atomic.Int64 // nanoseconds that Advance added to the clock
	seq     atomic.Uint64
	weather atomic.Pointer[weather]
	knobs   atomic.Pointer[Knobs] // filled
	creds   credentials
	fleet   fleet
	codes   codes
	scripts scripts
	history ring
	misuse  misuses
	faults  [len(faultReasons)]atomic.Int64
}

// New makes a platform. Options that do not pass Validate are a programming
// error and panic; Start reports them instead.
func New(o Options) *Sim {
	if err := o.Validate(); err != nil {
		panic(fmt.Sprintf("haravansim: %v", err))
	}
	s := &Sim{opts: o, seed: mix(o.Seed), app: o.App, log: o.Log}
	def(&s.app.ClientID, newValue(s.seed, saltClient, 0, 0).String())
	def(&s.app.Name, "simulated app")
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	knobs := o.Knobs.filled()
	s.knobs.Store(&knobs)
	s.weather.Store(forecast(o.Faults))
	first := &book{byValue: map[string]int{}, refresh: map[string]refreshToken{}, oauth: o.Legacy == 0}
	s.addSecret(first)
	s.creds.book.Store(first)
	s.fleet.shops = make([]*shop, o.Shops)
	s.fleet.extras = map[string]int{}
	s.codes.byValue = map[string]string{}
	s.history.init(o.History)
	return s
}

// App returns the application, its defaults filled in.
func (s *Sim) App() App { return s.app }

// Now is the simulator's clock: Options.Now and what Advance added.
func (s *Sim) Now() time.Time {
	now := time.Now
	if s.opts.Now != nil {
		now = s.opts.Now
	}
	return now().Add(time.Duration(s.offset.Load()))
}

// Advance moves the clock forward: refresh tokens age, buckets leak, pauses
// that a 429 asked for end. It returns the new time.
func (s *Sim) Advance(d time.Duration) (time.Time, error) {
	if d < 0 || d > maxSpan {
		return s.Now(), fmt.Errorf("advance clock by %s: it only moves forward, ten years at most", d)
	}
	s.offset.Add(int64(d))
	s.log.Info("clock advanced", "by", d)
	return s.Now(), nil
}

// Faults returns the rates in force.
func (s *Sim) Faults() Faults { return s.weather.Load().faults.clone() }

// SetFaults replaces the rates, also those of dead shops.
func (s *Sim) SetFaults(f Faults) error {
	if err := f.Validate(); err != nil {
		return fmt.Errorf("set faults: %w", err)
	}
	s.weather.Store(forecast(f))
	return nil
}

// Knobs returns the knobs in force, defaults filled in.
func (s *Sim) Knobs() Knobs { return *s.knobs.Load() }

// SetKnobs replaces all knobs; zero fields go back to their defaults.
func (s *Sim) SetKnobs(k Knobs) error {
	if err := k.Validate(); err != nil {
		return fmt.Errorf("set knobs: %w", err)
	}
	k = k.filled()
	s.knobs.Store(&k)
	return nil
}

func (s *Sim) verbose(ctx context.Context) bool { return s.log.Enabled(ctx, slog.LevelDebug) }
