package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

// Defaults of a run.
const (
	DefaultBatchSize = 500
	// OrderedBatchSize is that of runs whose order matters to the shops: batches
	// are worked side by side, so the order is as fine as they are small.
	OrderedBatchSize = 100
	DefaultInFlight  = 256
)

var saveRunSet = sql(`update rotator.runs set settings = $2 where id = $1 and closed_at is null and cancelled_at is null`)

// RunSettings is fixed when the run starts, so that a resume under other
// settings is impossible; only what tune changes may move.
type RunSettings struct {
	Waves     rotation.WavePolicy `json:"waves"`
	BatchSize int64               `json:"batch_size"`
	// InFlight caps the calls in flight of all workers together.
	InFlight int `json:"inflight"`
	Pacing
	// Wire is the pinned wire variant, as package haravan encodes it.
	Wire json.RawMessage `json:"wire,omitempty"`
	// WireProbe tells that Wire is where the search for the variant begins, and
	// that none is pinned yet.
	WireProbe bool `json:"wire_probe,omitempty"`
	// CanaryShops are the domains of a canary that was named, in its order.
	CanaryShops []string `json:"canary_shops,omitempty"`
	// HealthURL is polled while the run exchanges; "" for none.
	HealthURL string `json:"health_url,omitempty"`
	// CheckSample is how many shops are looked at after the revoke, -1 for all.
	CheckSample int `json:"check_sample"`
	// GraceSeconds is the grace for old-signed webhooks after the revoke.
	GraceSeconds int `json:"webhook_grace_seconds"`
	// AcceptWindows lets the exchange begin although one window is not enough.
	AcceptWindows bool `json:"accept_windows,omitempty"`
	// RequireDelivery keeps the run from proven until the app has acknowledged
	// every new token.
	RequireDelivery bool `json:"require_delivery,omitempty"`
	// ByPriority takes shops in the order of their priority, highest first,
	// instead of that of their ids.
	ByPriority bool `json:"by_priority,omitempty"`
	// Outage is what a breach run was expected to cost when it was started.
	Outage *rotation.Outage `json:"outage,omitempty"`
}

// SaveSettings changes what may move while a run is open, and journals it.
func (t *Tx) SaveSettings(ctx context.Context, actor string, r Run) error {
	settings, err := json.Marshal(r.Settings)
	if err != nil {
		return fmt.Errorf("encode the run's settings: %w", err)
	}
	if err := t.exactlyOne(ctx, "save the run's settings", saveRunSet, r.ID, settings); err != nil {
		return err
	}
	return t.Log(ctx, actor, "run.tuned", r.ID, r.Settings)
}
