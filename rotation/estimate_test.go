package rotation

import (
	"math"
	"testing"
	"time"
)

func TestEstimateLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		open, waiting int
		speeds        []float64
		want          Estimate
		unknown       bool
	}{
		{name: "nothing is open", want: Estimate{}},
		{name: "nothing is known", open: 10, unknown: true},
		{name: "standing still", open: 10, speeds: []float64{0, -1}, unknown: true},
		{name: "one speed", open: 1000, speeds: []float64{100}, want: Estimate{10 * time.Second, 12 * time.Second}},
		{name: "zero says nothing", open: 1000, speeds: []float64{0, 100}, want: Estimate{10 * time.Second, 12 * time.Second}},
		{name: "mean and lowest", open: 1000, speeds: []float64{150, 50}, want: Estimate{10 * time.Second, 24 * time.Second}},
		{name: "some wait", open: 1000, waiting: 1, speeds: []float64{100}, want: Estimate{10 * time.Second, 32 * time.Second}},
		{
			name: "never", open: math.MaxInt32, speeds: []float64{1e-12},
			want: Estimate{longest * time.Second, longest * time.Second},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := EstimateLeft(tt.open, tt.waiting, tt.speeds...)
			if got != tt.want || ok == tt.unknown {
				t.Errorf("got %v, known %v, want %v", got, ok, tt.want)
			}
		})
	}
}
