package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/haravan-rotator/rotator/store"
)

// pacingFlags bound what all workers of a run together ask of the platform.
type pacingFlags struct {
	rate     float64
	headroom string
}

const (
	// mostRate is more calls per second than any platform answers.
	mostRate = 100_000
	// leastRate makes a call in ten seconds.
	leastRate = 0.1
	// mostHeadroom leaves rotator a tenth of a bucket.
	mostHeadroom = 90
)

func (f *pacingFlags) add(fs *pflag.FlagSet) {
	fs.Float64Var(&f.rate, "rate", 0, "most calls per second of all workers together; 0 for no cap")
	fs.StringVar(&f.headroom, "headroom", "", fmt.Sprintf("share of each shop's rate bucket left to the app's own calls, up to %d%% (default %d%%)", mostHeadroom, store.DefaultHeadroom))
}

// given returns what was set, nil for what was not. An empty headroom is the
// default.
func (f *pacingFlags) given(changed func(string) bool) (rate *float64, headroom *int, err error) {
	var errs []error
	if changed("rate") {
		rate = &f.rate
		if math.IsNaN(f.rate) || f.rate != 0 && (f.rate < leastRate || f.rate > mostRate) {
			errs = append(errs, fmt.Errorf("--rate %v: between %v and %d calls per second can be made, or 0 for no cap", f.rate, leastRate, mostRate))
		}
	}
	if changed("headroom") {
		share := store.DefaultHeadroom
		if f.headroom != "" {
			var err error
			share, err = strconv.Atoi(strings.TrimSuffix(f.headroom, "%"))
			if err != nil || share < 0 || share > mostHeadroom {
				errs = append(errs, fmt.Errorf("--headroom %s: write a whole percentage from 0%% to %d%%", quoted(f.headroom), mostHeadroom))
			}
		}
		headroom = &share
	}
	return rate, headroom, errors.Join(errs...)
}

// apply changes an app's pacing by the flags that were given.
func (f *pacingFlags) apply(changed func(string) bool, p *store.Pacing) error {
	rate, headroom, err := f.given(changed)
	if err != nil {
		return err
	}
	if rate != nil {
		p.Rate = *rate
	}
	if headroom != nil {
		if p.Headroom = headroom; f.headroom == "" {
			p.Headroom = nil
		}
	}
	return nil
}

// describeRate is a cap in words.
func describeRate(rate float64) string {
	if rate == 0 {
		return "no cap"
	}
	return strconv.FormatFloat(rate, 'f', -1, 64) + " calls/s"
}
