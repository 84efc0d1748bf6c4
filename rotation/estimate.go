package rotation

import "time"

// Estimate is a range for the time that a run's open shops still take.
type Estimate struct{ P50, P90 time.Duration }

// What the range adds to plain division: rates go up and down, and a shop that
// waits for a later attempt comes back when its pause is over.
const (
	estimateSpread = 1.2
	estimateTail   = 20 * time.Second
)

// EstimateLeft tells how long open shops take, given the speeds in shops per
// second that were seen over different spans: their mean is the middle of the
// range, the lowest its end. waiting of the open shops have a later attempt.
// Speeds that are not positive say nothing; ok is false when none is left.
func EstimateLeft(open, waiting int, speeds ...float64) (e Estimate, ok bool) {
	if open <= 0 {
		return e, true
	}
	var sum, least float64
	n := 0
	for _, v := range speeds {
		if v <= 0 {
			continue
		}
		if n++; n == 1 || v < least {
			least = v
		}
		sum += v
	}
	if n == 0 {
		return e, false
	}
	e.P50 = seconds(float64(open) * float64(n) / sum)
	e.P90 = seconds(float64(open) / least * estimateSpread)
	if waiting > 0 {
		e.P90 += estimateTail
	}
	return e, true
}

// seconds makes a duration, bounded by a century.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, longest) * float64(time.Second))
}
