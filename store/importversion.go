package store

import (
	"context"
	"fmt"
)

// A row of a bound table whose token is stored already has none in the staging.
// The version is compared in the counts and not in the condition: where all shops
// have the same, the planner expects none with another, and reads the staging anew
// for each of them.
var keptVersions = `select count(*) filter (where s.secret_id is null), count(*) filter (where s.secret_id <> $1)
	from rotator.shops s where s.access_token is not null and exists (select from import_rows r
		where r.shop_id = s.id and (r.access_token_fingerprint = s.access_token_fingerprint or r.bound_key is not null and r.access_token is null))`

// countKept counts the staged shops that an import says a version of, and that
// keep what is known of theirs: the version is stored with a token, and theirs is
// stored. One that a run made is known better than by any list.
func (t *Tx) countKept(ctx context.Context, secretID int64, result *ImportResult) error {
	if secretID == 0 {
		return nil
	}
	if err := t.tx.QueryRow(ctx, keptVersions, secretID).Scan(&result.VersionUnknown, &result.VersionOther); err != nil {
		return fmt.Errorf("look for tokens that are stored: %w", err)
	}
	return nil
}
