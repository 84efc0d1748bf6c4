package migrations

import (
	"strings"
	"testing"
)

func TestOldServersAreRefused(t *testing.T) {
	t.Parallel()
	for number, fine := range map[int]bool{90624: false, 130023: false, 140000: true, 150018: true, 190000: true} {
		err := newEnough(number, "of the test")
		if (err == nil) != fine {
			t.Errorf("server %d: %v", number, err)
		}
		if err != nil && !strings.Contains(err.Error(), "PostgreSQL of the test is too old: rotator needs 14 or newer") {
			t.Errorf("server %d: %v", number, err)
		}
	}
}
