package rotation_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestBurnDown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		open  int
		left  time.Duration
		rate  float64
		want  rotation.Burn
		words string
	}{
		"nothing open":        {0, time.Minute, 0, rotation.Burn{}, "0.0 shops/s are needed, 0.0 are made"},
		"just enough":         {600, time.Minute, 10, rotation.Burn{Needed: 10, Rate: 10}, "10.0 shops/s are needed, 10.0 are made"},
		"one shop too slow":   {601, time.Minute, 10, rotation.Burn{Needed: 601.0 / 60, Rate: 10, Late: 1, Behind: true}, "10.0 shops/s are needed, 10.0 are made: 1 shop will be left when the window ends"},
		"standing still":      {600, time.Minute, 0, rotation.Burn{Needed: 10, Late: 600, Behind: true}, "10.0 shops/s are needed, 0.0 are made: 600 shops will be left when the window ends"},
		"no time left":        {7, 0, 100, rotation.Burn{Rate: 100, Late: 7, Behind: true}, "no time is left for 7 shops"},
		"over long ago":       {7, -time.Hour, 100, rotation.Burn{Rate: 100, Late: 7, Behind: true}, "no time is left for 7 shops"},
		"a rate below nought": {60, time.Minute, -1, rotation.Burn{Needed: 1, Late: 60, Behind: true}, "1.0 shops/s are needed, 0.0 are made: 60 shops will be left when the window ends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rotation.BurnDown(tt.open, tt.left, tt.rate)
			if got != tt.want || got.Words() != tt.words {
				t.Errorf("got %+v (%s), want %+v (%s)", got, got.Words(), tt.want, tt.words)
			}
		})
	}
}
