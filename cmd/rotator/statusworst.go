package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// worstShown shops are named in a status.
const worstShown = 3

// nameWorst adds the shops that stand out: parked, tried most often, slowest.
func (st *runStatus) nameWorst(ctx context.Context, s *store.Store) error {
	if st.Phase != rotation.PhaseExchanging || st.State != runOpen {
		return nil
	}
	worst, err := s.Worst(ctx, st.Run, worstShown)
	if err == nil {
		st.Worst = append(st.Worst, worst...)
	}
	return err
}

func worstWords(i store.ItemInfo) string {
	words := []string{string(i.State)}
	if i.Attempt > 1 {
		words = append(words, fmt.Sprintf("%d attempts", i.Attempt))
	}
	if i.LatencyMS > 0 {
		words = append(words, fmt.Sprintf("%d ms", i.LatencyMS))
	}
	if i.Class != "" {
		words = append(words, i.Class.Words())
	}
	return i.Domain + ": " + strings.Join(words, ", ")
}
