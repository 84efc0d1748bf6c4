package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/haravan-rotator/rotator/store"
)

// ageFlags are how old an app's secret may become.
type ageFlags struct{ most, warn string }

func (f *ageFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.most, "secret-max-age", "", "how old the secret may become, such as 180d; for rotator check")
	fs.StringVar(&f.warn, "secret-warn-age", "", "from which age on rotator check warns of it, such as 150d")
}

func (f *ageFlags) apply(changed func(string) bool, set *store.AppSettings) error {
	for _, a := range []struct {
		flag, text string
		into       *int
	}{{"secret-max-age", f.most, &set.SecretMaxAgeHours}, {"secret-warn-age", f.warn, &set.SecretWarnAgeHours}} {
		if !changed(a.flag) {
			continue
		}
		hours, err := parseAge(a.text)
		if err != nil {
			return fmt.Errorf("--%s %s: %w", a.flag, quoted(a.text), err)
		}
		*a.into = hours
	}
	if !changed("secret-max-age") && !changed("secret-warn-age") {
		return nil
	}
	if p := set.Policy(); p.WarnAge >= p.MaxAge {
		return fmt.Errorf("--secret-warn-age: %s is not before --secret-max-age, which is %s", age(int(p.WarnAge.Hours())), age(int(p.MaxAge.Hours())))
	}
	return nil
}

// mostAge is longer than anybody means.
const mostAge = 10 * 365 * 24

// parseAge reads days (180d) or a duration in whole hours; "" and 0 are the
// default.
func parseAge(text string) (hours int, err error) {
	const wanted = "write days, such as 180d, or hours, such as 36h, at most 3650d"
	switch days, ok := strings.CutSuffix(text, "d"); {
	case text == "" || text == "0":
		return 0, nil
	case ok:
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > mostAge/24 {
			return 0, fmt.Errorf("%s", wanted)
		}
		return n * 24, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Hour || d%time.Hour != 0 || d > mostAge*time.Hour {
		return 0, fmt.Errorf("%s", wanted)
	}
	return int(d.Hours()), nil
}

// age writes hours as a person would.
func age(hours int) string {
	if hours%24 == 0 {
		return plural(hours/24, "day")
	}
	return plural(hours, "hour")
}
