package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/haravan-rotator/rotator/rotation"
)

// waveFlags size the waves and their error budgets.
type waveFlags struct {
	waves, budget string
	canary        int
}

func (f *waveFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.waves, "waves", "", "sizes of the waves, e.g. canary=5,1%,10%,all: a number of shops first, then growing shares of the fleet")
	fs.IntVar(&f.canary, "canary", 0, "shops in the first wave; 0 for no canary")
	fs.StringVar(&f.budget, "budget", "", "share of a wave that may fail before the run is held, and narrower ones by class, e.g. 25%,platform=5%,network=10%")
}

// apply changes p by the flags that were given and reports every mistake; none
// tells that no flag was.
func (f *waveFlags) apply(p rotation.WavePolicy, changed func(string) bool) (out rotation.WavePolicy, none bool, err error) {
	var errs []error
	said := noCanary
	if changed("waves") {
		canary, shares, err := parseWaves(f.waves)
		if said = canary; f.waves == "" {
			said = noCanary
		}
		p.Canary, p.Shares = max(canary, 0), shares
		errs = append(errs, err)
	}
	if changed("canary") {
		switch {
		case f.canary < 0:
			errs = append(errs, fmt.Errorf("--canary %d: a wave has no negative size", f.canary))
		case said != noCanary && said != f.canary:
			errs = append(errs, fmt.Errorf("--canary %d, and --waves has a canary of %d: give the size in one of both", f.canary, said))
		}
		p.Canary = f.canary
	}
	if changed("budget") {
		all, classes, err := parseBudget(f.budget)
		p.Budget, p.Budgets = all, classes
		errs = append(errs, err)
	}
	return p, !changed("waves") && !changed("canary") && !changed("budget"), errors.Join(errs...)
}

// sayCanary reports whether the waves begin with a number of shops.
func (f *waveFlags) sayCanary() bool {
	canary, _, err := parseWaves(f.waves)
	return f.waves != "" && err == nil && canary != noCanary
}

// wavesOf is the app's wave policy, changed by flags; nil when none was given.
func (o onRun) wavesOf(f waveFlags, changed func(string) bool) (*rotation.WavePolicy, error) {
	policy := rotation.DefaultWavePolicy
	if set := o.app.Settings.Waves; set != nil {
		policy = *set
	}
	policy, none, err := f.apply(policy, changed)
	if err != nil || none {
		return nil, err
	}
	return &policy, nil
}

// noCanary is the size of a canary that nobody speaks of.
const noCanary = -1

// parseWaves reads "canary=5,1%,10%,all". An empty text is the default.
func parseWaves(text string) (canary int, shares []float64, err error) {
	if text == "" {
		d := rotation.DefaultWavePolicy
		return d.Canary, slices.Clone(d.Shares), nil
	}
	canary = noCanary
	bad := func(i int, why string) (int, []float64, error) {
		return noCanary, nil, fmt.Errorf("--waves, part %d: %s; write for example canary=5,1%%,10%%,all", i+1, why)
	}
	parts := strings.Split(text, ",")
	for i, part := range parts {
		part = strings.TrimSpace(part)
		number, named := strings.CutPrefix(part, "canary=")
		switch {
		case part == "all" && i == len(parts)-1:
		case part == "all":
			return bad(i, "all is the last wave")
		case strings.HasSuffix(part, "%"):
			share, err := parseShare(part)
			if err != nil || share <= 0 {
				return bad(i, "a share is more than 0 and at most 100 percent")
			}
			if n := len(shares); n > 0 && share < shares[n-1] {
				return bad(i, "shares grow from wave to wave")
			}
			shares = append(shares, share)
		default:
			n, err := strconv.Atoi(number)
			switch {
			case err != nil || n < 0:
				return bad(i, "a wave is a number of shops, a share in percent, or all")
			case i > 0 && named:
				return bad(i, "the canary is the first wave")
			case i > 0:
				return bad(i, "only the first wave is a number of shops")
			}
			canary = n
		}
	}
	return canary, shares, nil
}

// parseBudget reads "25%,platform=5%". Without an overall budget the default
// one stays.
func parseBudget(text string) (all float64, classes map[rotation.Class]float64, err error) {
	all = rotation.DefaultWavePolicy.Budget
	if text == "" {
		return all, nil, nil
	}
	var errs []error
	for i, part := range strings.Split(text, ",") {
		name, value, byClass := strings.Cut(strings.TrimSpace(part), "=")
		if !byClass {
			value = name
		}
		share, err := parseShare(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("--budget, part %d: %w", i+1, err))
			continue
		}
		class := rotation.Class(name)
		switch {
		case !byClass:
			all = share
		case !class.Valid():
			errs = append(errs, fmt.Errorf("--budget, part %d: the classes are %s", i+1, named(budgetClasses())))
		case !class.MayBudget():
			errs = append(errs, fmt.Errorf("--budget, part %d: such shops never count as failed; the classes are %s", i+1, named(budgetClasses())))
		default:
			if classes == nil {
				classes = map[rotation.Class]float64{}
			}
			classes[class] = share
		}
	}
	return all, classes, errors.Join(errs...)
}

func budgetClasses() []rotation.Class {
	return slices.DeleteFunc(slices.Clone(rotation.Classes), func(c rotation.Class) bool { return !c.MayBudget() })
}

// parseShare reads "5%", or "0.05" for the same.
func parseShare(text string) (float64, error) {
	number, inPercent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if inPercent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) { // also refuses NaN
		return 0, errors.New("write a share between 0% and 100%")
	}
	return v, nil
}

// checkHealthURL refuses what must not be polled, or not be kept in the clear.
func checkHealthURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("--health-url: write a URL with a host, such as https://app.example.com/health")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return errors.New("--health-url: leave out user name, password, query and fragment: it is stored and shown in the clear")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()):
		return nil
	}
	return errors.New("--health-url: use https; plain http is for loopback only")
}
