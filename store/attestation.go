package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	// An attestation given again, e.g. after a revoke that had not bitten yet,
	// replaces the earlier one; the journal keeps both.
	upsertAttestation = sql(`insert into rotator.attestations (run_id, phase, actor, note) values ($1, $2, $3, $4)
		on conflict (run_id, phase) do update set actor = excluded.actor, note = excluded.note, at = now()`)
	// What the check has seen since the revoke was said: that it has bitten.
	deadSince = sql(`select coalesce(bool_and(old_dead) and bool_or(coalesce(old_known, old_token is not null)), false) from rotator.items where run_id = $1 and state = 'proven'
		and checked_at > (select at from rotator.attestations where run_id = $1 and phase = $2)`)
	readAttestations = sql(`select phase, actor, note, at from rotator.attestations where run_id = $1`)
)

// Attest records an operator's word for the phase that it lets the run enter.
func (t *Tx) Attest(ctx context.Context, runID int64, phase rotation.Phase, actor, note string) error {
	if _, err := t.tx.Exec(ctx, upsertAttestation, runID, phase, actor, note); err != nil {
		return fmt.Errorf("record the attestation: %w", err)
	}
	return t.logAttested(ctx, runID, phase, actor, note)
}

// AttestAgain is Attest for a revoke that is said again, to look again. Where no
// old token answered since, the word stands as it was given first, since the grace
// runs from then; the journal has both.
func (t *Tx) AttestAgain(ctx context.Context, runID int64, phase rotation.Phase, actor, note string) error {
	var dead bool
	if err := t.tx.QueryRow(ctx, deadSince, runID, phase).Scan(&dead); err != nil {
		return fmt.Errorf("ask whether the revoke has bitten: %w", err)
	}
	if dead {
		return t.logAttested(ctx, runID, phase, actor, note)
	}
	return t.Attest(ctx, runID, phase, actor, note)
}

func (t *Tx) logAttested(ctx context.Context, runID int64, phase rotation.Phase, actor, note string) error {
	return t.Log(ctx, actor, "attested."+string(phase), runID, map[string]any{"note": note})
}

func attestations(ctx context.Context, q querier, runID int64) (map[rotation.Phase]rotation.Attestation, error) {
	rows, err := q.Query(ctx, readAttestations, runID)
	if err != nil {
		return nil, fmt.Errorf("read attestations: %w", err)
	}
	all := map[rotation.Phase]rotation.Attestation{}
	var phase rotation.Phase
	var a rotation.Attestation
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&phase, &a.Actor, &a.Note, &at}, func() error {
		a.At = at.UTC()
		all[phase] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read attestations: %w", err)
	}
	return all, nil
}
