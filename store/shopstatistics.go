package store

import (
	"context"
	"fmt"
)

var analyzeShops = sql(`analyze rotator.shops`)

// AnalyzeShops refreshes what PostgreSQL's planner knows about the shops. After
// a large import it would otherwise take each keyset page for a sort of the
// whole fleet until autovacuum comes by, a minute or more later.
func (s *Store) AnalyzeShops(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, analyzeShops); err != nil {
		return fmt.Errorf("analyze the shops: %w", err)
	}
	return nil
}
