package store

// DefaultHeadroom is the share of a shop's rate bucket, in percent, that is left
// to the app's own calls.
const DefaultHeadroom = 25

// Pacing bounds what all workers of a run together ask of the platform.
type Pacing struct {
	// Rate is the most calls per second, 0 for no cap.
	Rate float64 `json:"rate,omitempty"`
	// Headroom is the share of each shop's rate bucket, in percent, that is left
	// to the app's own calls; nil for DefaultHeadroom.
	Headroom *int `json:"headroom_percent,omitempty"`
}

// HeadroomPercent is Headroom with its default.
func (p Pacing) HeadroomPercent() int {
	if p.Headroom == nil {
		return DefaultHeadroom
	}
	return *p.Headroom
}
