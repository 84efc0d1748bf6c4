package operate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Reader is what a plan may do: nothing but read.
type Reader interface {
	CountShops(ctx context.Context, appID int64) (int, error)
	Sample(ctx context.Context, appID int64, n int) ([]store.Token, error)
	Workers(ctx context.Context) ([]store.WorkerInfo, error)
	Now(ctx context.Context) (time.Time, error)
}

// Identifier reads the identity behind a token.
type Identifier interface {
	Identity(ctx context.Context, shop string, token secret.String) (haravan.Identity, error)
}

// PlanOptions steer a plan.
type PlanOptions struct {
	// Sample is how many shops are asked; 0 asks none.
	Sample int
	// Latency is assumed instead of measured when it is set.
	Latency time.Duration
	// InFlight is what the run would be capped at.
	InFlight int
	// MaxInFlight is the most that may be advised.
	MaxInFlight int
	// Left is the window that the plan must fit, rotation.WindowLength if zero.
	Left time.Duration
	Expected
}

// Plan is the answer to "does this fleet fit the hour".
type Plan struct {
	Shops   int `json:"shops"`
	Workers int `json:"workers"`
	// InFlight is the run's cap, Reach the most calls that the live workers can
	// make at once; 0 if none is alive.
	InFlight     int `json:"inflight"`
	Reach        int `json:"workers_inflight"`
	CallsPerShop int `json:"calls_per_shop"`
	// Latencies of the sampled identity reads, in milliseconds.
	P50MS float64 `json:"p50_ms"`
	P95MS float64 `json:"p95_ms"`
	P99MS float64 `json:"p99_ms"`
	// Sampled is how many shops were asked, by the class of the answer.
	Sampled map[string]int   `json:"sampled"`
	Assumed bool             `json:"assumed_latency"`
	Verdict rotation.Verdict `json:"verdict"`
	Skew    Skew             `json:"clock_skew"`
	// Measured is what the verdict was taken on, for the run to be judged by
	// again.
	Measured rotation.Measured `json:"-"`
}

// Skew is how far clocks are from this machine's, in seconds; positive when
// they are ahead. Platform is 0 when no answer carried a date.
type Skew struct {
	Database float64 `json:"database_seconds"`
	Platform float64 `json:"platform_seconds"`
}

// SkewLimit is the difference from which a clock is worth a warning.
const SkewLimit = time.Minute

// Warnings says in words which clocks are off.
func (s Skew) Warnings() []string {
	var out []string
	for name, seconds := range map[string]float64{"the database's clock": s.Database, "Haravan's clock": s.Platform} {
		d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
		if d.Abs() > SkewLimit {
			out = append(out, fmt.Sprintf("%s is %s away from this machine's (%+.0f s): the window is counted by the database's clock, set the clocks", name, d.Abs(), seconds))
		}
	}
	slices.Sort(out)
	return out
}

// DatabaseSkew asks the database's clock.
func DatabaseSkew(ctx context.Context, r Reader) (Skew, error) {
	asked := time.Now()
	now, err := r.Now(ctx)
	return Skew{Database: now.Sub(asked).Seconds()}, err
}

// MakePlan counts, measures and judges. It writes nothing anywhere.
func MakePlan(ctx context.Context, r Reader, client Identifier, app store.App, o PlanOptions) (Plan, error) {
	p := Plan{InFlight: o.InFlight, CallsPerShop: rotation.CallsPerShop, Sampled: map[string]int{}}
	var err error
	if p.Shops, err = r.CountShops(ctx, app.ID); err != nil {
		return p, err
	}
	workers, err := r.Workers(ctx)
	if err != nil {
		return p, err
	}
	p.Workers = len(workers)
	for _, w := range workers {
		p.Reach += w.Cap
	}
	if p.Skew, err = DatabaseSkew(ctx, r); err != nil {
		return p, err
	}
	latencies, err := p.sample(ctx, r, client, app, o.Sample)
	if err != nil {
		return p, err
	}
	if asked := total(p.Sampled); asked > 0 && p.Sampled["alive"] == 0 {
		return p, fmt.Errorf("not one of %d sampled shops answered under its stored token (%s): look at `rotator doctor` before anything is exchanged", asked, classesOf(p.Sampled))
	}
	median := percentile(latencies, 50)
	p.P50MS, p.P95MS, p.P99MS = ms(median), ms(percentile(latencies, 95)), ms(percentile(latencies, 99))
	if o.Latency > 0 {
		median, p.Assumed = o.Latency, true
	}
	if median == 0 && p.Shops > 0 {
		return p, errors.New("no shop answered, so nothing is known of the latency: look at `rotator doctor`, or give --assume-latency")
	}
	o.InFlight = p.usable()
	p.Verdict = rotation.Judge(o.Load(p, median))
	p.Measured = rotation.Measured{LatencyMS: ms(median), How: p.how()}
	return p, nil
}

// usable is how many calls can be in flight: no more than the workers make.
func (p Plan) usable() int {
	if p.Reach > 0 {
		return min(p.InFlight, p.Reach)
	}
	return p.InFlight
}

func (p Plan) how() string {
	if p.Assumed {
		return "an assumed latency"
	}
	return "identity reads of " + rotation.Plural(p.Sampled["alive"], "shop")
}

func (p *Plan) sample(ctx context.Context, r Reader, client Identifier, app store.App, n int) ([]time.Duration, error) {
	if n == 0 {
		return nil, nil
	}
	tokens, err := r.Sample(ctx, app.ID, n)
	if err != nil {
		return nil, err
	}
	return p.ask(ctx, client, tokens)
}

// ask counts what shops answer under tokens, and returns how long those took that
// are alive.
func (p *Plan) ask(ctx context.Context, client Identifier, tokens []store.Token) ([]time.Duration, error) {
	answers := make([]haravan.Meta, len(tokens))
	classes := make([]string, len(tokens))
	quiet, ahead := make([]time.Duration, len(tokens)), make([]time.Duration, len(tokens))
	var g errgroup.Group
	g.SetLimit(4)
	for i, t := range tokens {
		g.Go(func() error {
			id, err := client.Identity(ctx, t.Domain, t.Access)
			answers[i], classes[i] = id.Meta, "alive"
			var he *haravan.Error
			if errors.As(err, &he) {
				answers[i], classes[i], quiet[i] = he.Meta, string(he.Class), he.RetryAfter
			}
			ahead[i] = time.Until(answers[i].Date)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := leaveAlone(ctx, quiet); err != nil {
		return nil, err
	}
	var latencies []time.Duration
	for i, m := range answers {
		p.Sampled[classes[i]]++
		if classes[i] == "alive" {
			latencies = append(latencies, m.Latency)
		}
		if !m.Date.IsZero() {
			p.Skew.Platform = ahead[i].Seconds()
		}
	}
	slices.Sort(latencies)
	return latencies, nil
}

// quietMost bounds how long a plan waits for a shop that asked to be left alone.
const quietMost = 5 * time.Second

// leaveAlone waits as long as a shop that was asked wants it: the next to call it
// is another process, which does not know of the 429.
func leaveAlone(ctx context.Context, quiet []time.Duration) error {
	wait := slices.Max(append(quiet, 0))
	if wait == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(wait, quietMost)):
		return nil
	}
}

// percentile of sorted values, 0 for none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func classesOf(counts map[string]int) string {
	var out []string
	for _, class := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%d %s", counts[class], class))
	}
	return strings.Join(out, ", ")
}
