package store

import (
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// Policy is what checks of the app are held against: rotation.DefaultPolicy but
// for what was set.
func (a AppSettings) Policy() rotation.Policy {
	p := rotation.DefaultPolicy
	if a.SecretMaxAgeHours > 0 {
		p.MaxAge = time.Duration(a.SecretMaxAgeHours) * time.Hour
	}
	if a.SecretWarnAgeHours > 0 {
		p.WarnAge = time.Duration(a.SecretWarnAgeHours) * time.Hour
	}
	return p
}
