package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	readForecast  = sql(`select preflight, verdict from rotator.runs where id = $1`)
	savePreflight = sql(`update rotator.runs set preflight = $2 where id = $1 and closed_at is null and cancelled_at is null`)
	// A verdict is given once; who comes second sees the first one's.
	saveVerdict = sql(`update rotator.runs set verdict = $2 where id = $1 and verdict is null and closed_at is null and cancelled_at is null`)
	// One that held the run is given anew when the run goes on.
	dropVerdict = sql(`update rotator.runs set verdict = null where id = $1 and verdict->>'outlook' <> 'fits'`)
	// The exchange and the proof of one shop are two calls.
	measureItems = sql(`select count(*), coalesce(percentile_cont(0.5) within group (order by latency_ms), 0)::float8
		from rotator.items where run_id = $1 and position < $2 and state = 'proven' and latency_ms is not null`)
)

// SavePreflight keeps what the plan measured before the run was armed, for the
// gate to judge by.
func (t *Tx) SavePreflight(ctx context.Context, runID int64, m rotation.Measured) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode what the plan measured: %w", err)
	}
	return t.exactlyOne(ctx, "keep what the plan measured", savePreflight, runID, text)
}

// SaveVerdict stores the verdict that was taken on the run and journals it.
// ErrConflict when it has one already.
func (t *Tx) SaveVerdict(ctx context.Context, runID int64, j rotation.Judged) error {
	text, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode the verdict: %w", err)
	}
	if err := t.exactlyOne(ctx, "store the verdict", saveVerdict, runID, text); err != nil {
		return err
	}
	return t.Log(ctx, ActorEngine, "run.judged", runID, json.RawMessage(text))
}

// fillForecast reads what is known of whether the run fits, and measures the
// first waves' calls when the next one is about to be judged by them.
func (t *Tx) fillForecast(ctx context.Context, r Run, s *rotation.Snapshot) error {
	s.InFlight, s.CallsPerS, s.AcceptWindows = r.Settings.InFlight, r.Settings.Rate, r.Settings.AcceptWindows
	var preflight, verdict []byte
	if err := t.tx.QueryRow(ctx, readForecast, r.ID).Scan(&preflight, &verdict); err != nil {
		return fmt.Errorf("read the verdict of run %d: %w", r.ID, err)
	}
	if err := errors.Join(decode(preflight, &s.Preflight), decode(verdict, &s.Judged)); err != nil {
		return fmt.Errorf("read the verdict of run %d: %w", r.ID, err)
	}
	if s.Judged == nil && r.Phase == rotation.PhaseExchanging {
		return t.measure(ctx, r, s)
	}
	return nil
}

func decode[T any](text []byte, into **T) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// measure looks at what the waves took that are at their end, when all that were
// released are and another one follows.
func (t *Tx) measure(ctx context.Context, r Run, s *rotation.Snapshot) error {
	for i, w := range s.Waves {
		if w.Released && (w.Settled || w.MaySettle()) {
			continue
		}
		if w.Released || i == 0 {
			return nil
		}
		var shops int
		var both float64
		if err := t.tx.QueryRow(ctx, measureItems, r.ID, w.First).Scan(&shops, &both); err != nil {
			return fmt.Errorf("measure the first waves: %w", err)
		}
		if shops > 0 {
			s.Measured = &rotation.Measured{
				LatencyMS: both / rotation.CallsPerShop,
				How:       "exchange and proof of the first " + rotation.Plural(shops, "shop"),
			}
		}
		return nil
	}
	return nil
}

// dropUnfit forgets a verdict that held the run.
func (t *Tx) dropUnfit(ctx context.Context, runID int64) error {
	if _, err := t.tx.Exec(ctx, dropVerdict, runID); err != nil {
		return fmt.Errorf("forget the verdict of run %d: %w", runID, err)
	}
	return nil
}

var failingItems = sql(`select distinct on (i.class) s.domain, coalesce(i.class, '') from rotator.items i join rotator.shops s on s.id = i.shop_id
	where i.run_id = $1 and i.position between $2 and $3 and i.state in ('retrying', 'parked') and ` + countsAsFailed + `
	order by i.class, i.position limit $4`)

// examplesShown of a wave's failed shops are named, of different classes.
const examplesShown = 3

// exemplify names shops that failed, where there are enough to matter.
func (t *Tx) exemplify(ctx context.Context, r Run, w *rotation.WaveStatus) error {
	if !w.Released || w.Settled || w.OverBudget(r.Settings.Waves) == nil {
		return nil
	}
	rows, err := t.tx.Query(ctx, failingItems, r.ID, w.First, w.Last, examplesShown)
	if err == nil {
		w.Examples, err = pgx.CollectRows(rows, pgx.RowToStructByPos[rotation.Example])
	}
	if err != nil {
		return fmt.Errorf("name shops that failed in wave %s: %w", w.Name, err)
	}
	return nil
}
