package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

var (
	// The batch's row is locked against being taken over until the tokens are
	// committed: whoever takes it over then finds them.
	insertMinted = sql(`insert into rotator.minted (run_id, batch, fence, positions, tokens)
		select x.run_id, x.batch, x.fence, x.positions::bigint[], x.tokens
		from unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[], $5::bytea[]) as x (run_id, batch, fence, positions, tokens)
		join rotator.batches b on b.run_id = x.run_id and b.number = x.batch and b.fence = x.fence
		for share of b
		returning run_id, batch, fence, run_id = ` + overRuns)
	mintedOfBatch = sql(`select id, run_id, batch, fence, tokens from rotator.minted where run_id = $1 and batch = $2 order by id for update`)
	mintedOfRun   = sql(`select id, run_id, batch, fence, tokens from rotator.minted where run_id = $1 order by id`)
	mintedWith    = sql(`select id, run_id, batch, fence, tokens from rotator.minted where run_id = $1 and batch = $2 and positions && $3 order by id`)
	// Those of cancelled runs, whose batches nobody takes over.
	mintedLeft = sql(`select m.id, m.run_id, m.batch, m.fence, m.tokens from rotator.minted m join rotator.runs r on r.id = m.run_id
		where r.app_id = $1 and r.cancelled_at is not null order by m.id for update of m`)
	moveMinted = sql(`update rotator.items i set state = 'exchanged', attempt = x.attempt, tries = i.tries + 1, generation = x.generation,
			new_token = x.token, new_token_secret_id = nullif(x.secret_id, 0),
			latency_ms = x.latency_ms, claimed_at = m.created_at, exchanged_at = m.created_at, class = null, detail = null, acted = false
		from unnest($2::bigint[], $3::int[], $4::bigint[], $5::bytea[], $6::bigint[], $7::int[]) as x (position, attempt, generation, token, secret_id, latency_ms), rotator.minted m
		where m.id = $1 and i.run_id = m.run_id and i.position = x.position and i.attempt = x.attempt - 1 and i.state = 'pending'`)
	deleteMinted = sql(`delete from rotator.minted where id = $1`)
)

// minted is one token of a group that is sealed as a whole.
type minted struct {
	Position   int64  `json:"p"`
	Attempt    int32  `json:"a"`
	Generation int64  `json:"g"`
	LatencyMS  int32  `json:"l"`
	SecretID   int64  `json:"s,omitempty"`
	Token      string `json:"t"`
}

// batchLease names the lease that a group was claimed under.
type batchLease struct {
	runID int64
	batch int
	fence int64
}

func (l batchLease) column() secret.Column {
	return secret.Column{Table: "minted", Row: pair(l.runID, int64(l.batch)) + "/" + strconv.FormatInt(l.fence, 10), Name: "tokens"}
}

// writeMinted stores the new tokens of shops that were claimed with their
// batch, a row for each batch, unless it was taken over since.
func (t *Tx) writeMinted(ctx context.Context, group []*Outcome, written map[key]bool) error {
	if len(group) == 0 {
		return nil
	}
	leases := make(map[batchLease][]*Outcome, 8)
	for _, o := range group {
		l := o.Claim.lease()
		leases[l] = append(leases[l], o)
	}
	var runs, fences []int64
	var batches []int32
	var positions []string
	var tokens [][]byte
	for l, outcomes := range leases {
		sealed, err := t.sealMinted(l, outcomes)
		if err != nil {
			return err
		}
		runs, batches, fences = append(runs, l.runID), append(batches, int32(l.batch)), append(fences, l.fence)
		positions, tokens = append(positions, positionArray(outcomes)), append(tokens, sealed)
	}
	rows, err := t.tx.Query(ctx, insertMinted, runs, batches, fences, positions, tokens)
	if err != nil {
		return fmt.Errorf("write new tokens: %w", err)
	}
	var l batchLease
	var isOver bool
	over := map[key]bool{}
	_, err = pgx.ForEachRow(rows, []any{&l.runID, &l.batch, &l.fence, &isOver}, func() error {
		for _, o := range leases[l] {
			k := o.Claim.key()
			written[k] = true
			if isOver {
				over[k] = true
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write new tokens: %w", err)
	}
	return t.markLate(ctx, group, written, over)
}

// keepMinted moves the tokens of shops that could not be proven into their
// items, before an outcome that keeps them: exchanged or parked. It touches no
// other shop of their groups: two flushers that each did would wait for each
// other.
func (t *Tx) keepMinted(ctx context.Context, group []*Outcome) error {
	positions := map[batchLease][]int64{}
	var leases []batchLease
	for _, o := range group {
		if o.Claim.withBatch() && (o.State == rotation.ItemExchanged || o.State == rotation.ItemParked) {
			l := o.Claim.lease()
			if positions[l] == nil {
				leases = append(leases, l)
			}
			positions[l] = append(positions[l], o.Claim.Position)
		}
	}
	for _, l := range leases {
		groups, err := t.readMinted(ctx, mintedWith, l.runID, l.batch, positions[l])
		if err != nil {
			return err
		}
		for _, g := range groups {
			g.all = slices.DeleteFunc(g.all, func(m minted) bool { return !slices.Contains(positions[l], m.Position) })
			if err := t.moveMinted(ctx, g); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Tx) sealMinted(l batchLease, group []*Outcome) ([]byte, error) {
	all := make([]minted, len(group))
	for i, o := range group {
		all[i] = minted{
			Position: o.Claim.Position, Attempt: int32(o.Claim.Attempt), Generation: o.Claim.Generation,
			LatencyMS: o.latencyMS(), SecretID: o.SecretID, Token: o.New.Reveal(),
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode new tokens of batch %d: %w", l.batch, err)
	}
	sealed, err := t.keys.Seal(secret.New(string(text)), l.column())
	if err != nil {
		return nil, fmt.Errorf("seal new tokens of batch %d: %w", l.batch, err)
	}
	return sealed, nil
}

// positionArray is the group's positions as PostgreSQL reads an array: unnest
// would flatten an array of arrays.
func positionArray(group []*Outcome) string {
	var b strings.Builder
	for i, o := range group {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(strconv.FormatInt(o.Claim.Position, 10))
	}
	b.WriteByte('}')
	return b.String()
}

// mintedGroup is a stored group.
type mintedGroup struct {
	id    int64
	lease batchLease
	all   []minted
}

// settleMinted moves the tokens that a statement finds, and that still count,
// into their items: a shop is never without the only record of its new token.
func (t *Tx) settleMinted(ctx context.Context, statement string, args ...any) error {
	groups, err := t.readMinted(ctx, statement, args...)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if len(g.all) == 0 {
			continue
		}
		if err := t.moveMinted(ctx, g); err != nil {
			return err
		}
		if _, err := t.tx.Exec(ctx, deleteMinted, g.id); err != nil {
			return fmt.Errorf("forget moved tokens: %w", err)
		}
	}
	return nil
}

func (t *Tx) readMinted(ctx context.Context, statement string, args ...any) ([]mintedGroup, error) {
	return collect(ctx, t.tx, "read unproven tokens", func(row pgx.CollectableRow) (mintedGroup, error) {
		var g mintedGroup
		var sealed []byte
		if err := row.Scan(&g.id, &g.lease.runID, &g.lease.batch, &g.lease.fence, &sealed); err != nil {
			return g, err
		}
		text, err := t.keys.Open(sealed, g.lease.column())
		if err == nil {
			err = json.Unmarshal([]byte(text.Reveal()), &g.all)
		}
		if err != nil {
			// One that does not open is as good as lost: its shops are unknown
			// and exchanged again. It stays for a keyring that opens it.
			g.all = nil
		}
		return g, nil
	}, statement, args...)
}

func (t *Tx) moveMinted(ctx context.Context, g mintedGroup) error {
	if len(g.all) == 0 {
		return nil
	}
	slices.SortFunc(g.all, func(a, b minted) int { return int(a.Position - b.Position) })
	var positions, generations, secrets []int64
	var attempts, latencies []int32
	var tokens [][]byte
	for _, m := range g.all {
		sealed, err := t.keys.Seal(secret.New(m.Token), newTokenAt(g.lease.runID, m.Position))
		if err != nil {
			return fmt.Errorf("seal the new token of position %d: %w", m.Position, err)
		}
		positions, attempts, generations = append(positions, m.Position), append(attempts, m.Attempt), append(generations, m.Generation)
		tokens, secrets, latencies = append(tokens, sealed), append(secrets, m.SecretID), append(latencies, m.LatencyMS)
	}
	if _, err := t.tx.Exec(ctx, moveMinted, g.id, positions, attempts, generations, tokens, secrets, latencies); err != nil {
		return fmt.Errorf("move unproven tokens into their items: %w", err)
	}
	return nil
}
