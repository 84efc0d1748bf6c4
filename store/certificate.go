package store

import (
	"context"
	"encoding/json"
	"fmt"
)

var (
	certifyRun   = sql(`update rotator.runs set certificate = $2 where id = $1 and certificate is null and phase = $3 and phase_at = $4 and cancelled_at is null`)
	uncertifyRun = sql(`update rotator.runs set certificate = null where id = $1`)
	readCertify  = sql(`select certificate from rotator.runs where id = $1`)
)

// Certify writes the certificate of proof, once. ErrConflict when the run has one, was
// cancelled, or has left the phase since r was read: what was proven then may not be all.
func (t *Tx) Certify(ctx context.Context, actor string, r Run, certificate any) error {
	text, err := json.Marshal(certificate)
	if err != nil {
		return fmt.Errorf("encode the certificate: %w", err)
	}
	if err := t.exactlyOne(ctx, "write the certificate", certifyRun, r.ID, text, r.Phase, r.PhaseAt); err != nil {
		return err
	}
	return t.Log(ctx, actor, "run.certified", r.ID, json.RawMessage(text))
}

// dropCertificate voids a certificate when its run goes back to exchanging or is
// cancelled, which gives the old secret back its uses; the journal keeps the text.
func (t *Tx) dropCertificate(ctx context.Context, r Run) error {
	if _, err := t.tx.Exec(ctx, uncertifyRun, r.ID); err != nil {
		return fmt.Errorf("void the certificate: %w", err)
	}
	return nil
}

// Certificate returns the run's certificate, nil before it is written.
func (s *Store) Certificate(ctx context.Context, runID int64) (json.RawMessage, error) {
	var text []byte
	if err := s.pool.QueryRow(ctx, readCertify, runID).Scan(&text); err != nil {
		return nil, one(err, "run %d", runID)
	}
	return text, nil
}
