package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// Outcome is what an attempt came to. Which fields count depends on State:
//
//	exchanged  New (the first time), or Class and Delay when proving failed
//	proven     New and Old: the shop's token is swapped; neither: it was
//	           already the new one and has been proven where it is
//	others     Class, Detail, and Delay for retrying and unknown
type Outcome struct {
	Claim  Claim
	State  rotation.ItemState
	Class  rotation.Class
	Detail string
	// Delay until the next attempt; the item leaves its batch when it is set.
	Delay time.Duration
	// Asked is how long from now on the platform asked for the shop to be left alone:
	// it is until then, whoever makes it due before.
	Asked time.Duration
	// Latency is that of the shop's calls in this attempt together: the
	// exchange, and its proof where that came with it.
	Latency time.Duration
	// New is the token that the platform minted, Old the one it replaces.
	New, Old secret.String
	// ExchangedAt is when New was stored, for proven; by this process's clock,
	// of which only the time since then is used.
	ExchangedAt time.Time
	// SecretID is the version that minted New, 0 for the run's own; OldSecretID the one
	// that minted Old, 0 for the run's old one.
	SecretID, OldSecretID int64
	// Unsent: nothing was asked of the platform, so that the claim was no try.
	Unsent bool
	// Acted tells, of others than unknown, that a token may have been minted that
	// nobody holds.
	Acted bool
}

// Verdict is what became of an outcome's write.
type Verdict int

const (
	// Written: committed.
	Written Verdict = iota
	// Fenced: a newer claim of the item exists; nothing was changed but the
	// mark that a token was minted late, so that it will be proven again.
	Fenced
	// Replaced: the shop's own token was changed by someone else since the
	// claim; the item is due again and will look at the token that is there.
	Replaced
	// RowAside: not proven, because of the shop's row in the app's own table; the
	// item says why, and when it is due again.
	RowAside
	// SetAside: PostgreSQL refuses the outcome, for a value or a rule; the item
	// says so. Given by who writes it by itself.
	SetAside
	// Unwritable: nor can that be stored; nothing was changed.
	Unwritable
	// TableFailed: not proven, because the app's own table could not be written;
	// the item says why, and is due again.
	TableFailed
	// RowRefused: not proven, because the app's own table did not take this shop's
	// row; the item says why, and is due again, or parked.
	RowRefused
)

// The item of a claim is claimed or exchanged at the claim's attempt, or, if its
// batch was claimed with it, still pending at the attempt before. Taking the
// batch over, or claiming the item, changes that.
const (
	stillHeld = `i.run_id = x.run_id and i.position = x.position and
		(i.attempt = x.attempt and i.state in ('claimed', 'exchanged') or x.with_batch and i.attempt = x.attempt - 1 and i.state = 'pending')`
	claimedNow = `tries = i.tries + (i.state = 'pending')::int, ` + claimedAs
	claimedAs  = `attempt = x.attempt,
		generation = case when i.state = 'pending' then x.generation else i.generation end,
		claimed_at = case when i.state = 'pending' then now() - x.age_ms * interval '1 millisecond' else i.claimed_at end`
	// What the run replaced first is kept, unless an install came since.
	keepsOld    = `(i.old_token is not null and coalesce(i.old_generation + 1 = i.generation, false))`
	heldColumns = `run_id, position, attempt, with_batch, generation, age_ms, latency_ms`
	heldArrays  = `$1::bigint[], $2::bigint[], $3::int[], $4::bool[], $5::bigint[], $6::int[], $7::int[]`
)

var (
	writeExchanged = sql(`update rotator.items i set state = 'exchanged', new_token = x.token, new_token_secret_id = nullif(x.secret_id, 0), exchanged_at = now(), latency_ms = x.latency_ms,
			class = null, detail = null, acted = false
		from unnest($1::bigint[], $2::bigint[], $3::int[], $4::bytea[], $5::bigint[], $6::int[]) as x (run_id, position, attempt, token, secret_id, latency_ms)
		where i.run_id = x.run_id and i.position = x.position and i.attempt = x.attempt and i.state = 'claimed'
		returning i.run_id, i.position, i.run_id = ` + overRuns)
	// Every array that unnest takes is written out and read again: a tenth of the
	// statement's time. Numbers are taken from their arrays, and the few words,
	// whose places have to be counted out, only where there are any.
	writeProven = sql(`update rotator.items i set state = 'proven', ` + claimedNow + `,
			latency_ms = coalesce(nullif(x.latency_ms, 0), i.latency_ms),
			exchanged_at = coalesce(i.exchanged_at, now() - x.exchanged_ms * interval '1 millisecond'),
			proven_at = now(), new_token = null, old_token = case when ` + keepsOld + ` then i.old_token else x.old_token end,
			old_secret_id = case when ` + keepsOld + ` then i.old_secret_id else nullif(x.old_secret_id, 0) end,
			old_generation = case when i.state = 'pending' then x.generation else i.generation end,
			class = nullif(x.class, ''), detail = nullif(x.detail, ''), next_attempt_at = null
		from (select ($1::bigint[])[k] as run_id, ($2::bigint[])[k] as position, ($3::int[])[k] as attempt, ($4::bool[])[k] as with_batch,
				($5::bigint[])[k] as generation, ($6::int[])[k] as age_ms, ($7::int[])[k] as latency_ms, old_token,
				($9::text[])[k] as class, ($10::text[])[k] as detail, ($11::int[])[k] as exchanged_ms, ($12::bigint[])[k] as old_secret_id
			from unnest($8::bytea[]) with ordinality as u (old_token, k)) x
		where ` + stillHeld + ` and i.state <> 'claimed'
		returning i.run_id, i.position`)
	// Proven where it is: the shop's token was the new one already.
	writeProvenInPlace = sql(`update rotator.items i set state = 'proven', ` + claimedNow + `,
			proven_at = now(), new_token = null, class = null, detail = null, next_attempt_at = null
		from unnest(` + heldArrays + `) as x (` + heldColumns + `), rotator.shops s
		where ` + stillHeld + ` and s.id = i.shop_id and s.token_generation = x.generation
		returning i.run_id, i.position`)
	// A token that is not proven yet is kept as long as it may still be.
	writeAside = sql(`update rotator.items i set state = x.state, ` + claimedAs + `, class = nullif(x.class, ''), detail = nullif(x.detail, ''),
			latency_ms = x.latency_ms, new_token = case when x.state in ('exchanged', 'parked') then i.new_token end,
			acted = i.acted or x.acted,
			tries = case when x.unsent then greatest(i.tries - (i.state <> 'pending')::int, 0) else i.tries + (i.state = 'pending')::int end,
			next_attempt_at = case when x.delay_ms >= 0 then now() + x.delay_ms * interval '1 millisecond' end,
			quiet_until = case when x.asked_ms > 0 then now() + x.asked_ms * interval '1 millisecond' else i.quiet_until end
		from unnest(` + heldArrays + `, $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bool[], $13::bigint[], $14::bool[])
			as x (` + heldColumns + `, state, class, detail, delay_ms, acted, asked_ms, unsent)
		where ` + stillHeld + `
		returning i.run_id, i.position, i.run_id = ` + overRuns)
	makeDue = sql(`update rotator.items i set state = 'unknown', ` + claimedNow + `, next_attempt_at = now(), class = null, new_token = null,
			detail = 'the shop''s token was replaced during the attempt'
		from unnest(` + heldArrays + `) as x (` + heldColumns + `)
		where ` + stillHeld + `
		returning i.run_id, i.position`)
)

type key struct{ runID, position int64 }

func (c Claim) key() key { return key{c.RunID, c.Position} }

// writeOutcomes commits a group of outcomes, of different items, in one
// transaction and tells what became of each, in order. An error means that none
// was written.
func (s *Store) writeOutcomes(ctx context.Context, outcomes []Outcome) ([]Verdict, error) {
	var replaced map[key]bool
	for {
		var verdicts []Verdict
		var again map[key]bool
		err := againIfDeadlocked(func() (err error) {
			verdicts, again, err = s.tryOutcomes(ctx, outcomes, replaced)
			return err
		})
		if err != nil || again == nil {
			return verdicts, err
		}
		replaced = again
	}
}

// tryOutcomes writes the group. If it finds shops whose token was replaced, it
// rolls back and returns them, so that no item is proven without its swap.
func (s *Store) tryOutcomes(ctx context.Context, outcomes []Outcome, replaced map[key]bool) (verdicts []Verdict, again map[key]bool, err error) {
	var minted, exchanged, proven, inPlace, aside, lost []*Outcome
	for _, o := range inOrder(outcomes) {
		switch {
		case replaced[o.Claim.key()]:
			lost = append(lost, o)
		case o.State == rotation.ItemExchanged && !o.New.IsZero() && o.Claim.withBatch():
			minted = append(minted, o)
		case o.State == rotation.ItemExchanged && !o.New.IsZero():
			exchanged = append(exchanged, o)
		case o.State == rotation.ItemProven && !o.New.IsZero():
			proven = append(proven, o)
		case o.State == rotation.ItemProven:
			inPlace = append(inPlace, o)
		default:
			aside = append(aside, o)
		}
	}
	written, due := make(map[key]bool, len(outcomes)), map[key]bool{}
	err = s.InTx(ctx, func(tx *Tx) error {
		// Batches are locked before items, as by those who take them over.
		if err := tx.writeMinted(ctx, minted, written); err != nil {
			return err
		}
		if err := tx.writeExchanged(ctx, exchanged, written); err != nil {
			return err
		}
		unswapped, err := tx.writeProven(ctx, proven, written)
		if err != nil {
			return err
		}
		if len(unswapped) > 0 {
			again = unswapped
			for k := range replaced {
				again[k] = true
			}
			return errRetryGroup
		}
		if err := tx.writeInPlace(ctx, inPlace, written, due); err != nil {
			return err
		}
		if err := tx.writeAside(ctx, aside, written); err != nil {
			return err
		}
		return tx.writeLost(ctx, lost, due)
	})
	if again != nil {
		return nil, again, nil
	}
	if err != nil {
		return nil, nil, err
	}
	verdicts = make([]Verdict, len(outcomes))
	for i := range outcomes {
		switch k := outcomes[i].Claim.key(); {
		case due[k]:
			verdicts[i] = Replaced
		case !written[k]:
			verdicts[i] = Fenced
		}
	}
	return verdicts, nil, nil
}

// inOrder sorts a group by item: rows of a page are written together, and all
// lock items in the same order.
func inOrder(outcomes []Outcome) []*Outcome {
	sorted := make([]*Outcome, len(outcomes))
	for i := range outcomes {
		sorted[i] = &outcomes[i]
	}
	slices.SortFunc(sorted, func(a, b *Outcome) int {
		return cmp.Or(cmp.Compare(a.Claim.RunID, b.Claim.RunID), cmp.Compare(a.Claim.Position, b.Claim.Position))
	})
	return sorted
}

var errRetryGroup = fmt.Errorf("a shop's token was replaced: %w", ErrConflict)

func (t *Tx) writeExchanged(ctx context.Context, group []*Outcome, written map[key]bool) error {
	if len(group) == 0 {
		return nil
	}
	c := newColumns(len(group))
	var tokens [][]byte
	var secrets []int64
	for _, o := range group {
		sealed, err := t.keys.Seal(o.New, newTokenAt(o.Claim.RunID, o.Claim.Position))
		if err != nil {
			return fmt.Errorf("seal the new token of %s: %w", o.Claim.Domain, err)
		}
		c.add(o)
		tokens, secrets = append(tokens, sealed), append(secrets, o.SecretID)
	}
	over, err := t.collectWritten(ctx, written, writeExchanged, c.runs, c.positions, c.attempts, tokens, secrets, c.latencies)
	if err != nil {
		return fmt.Errorf("write exchanged tokens: %w", err)
	}
	return t.markLate(ctx, group, written, over)
}

// writeProven proves the items and swaps their shops' tokens. Both are plain
// joins with arrays: as one statement with data-modifying parts the planner read
// the whole table of shops for each group. A proof without its swap must not be
// committed: the caller rolls back when unswapped names any.
func (t *Tx) writeProven(ctx context.Context, group []*Outcome, written map[key]bool) (unswapped map[key]bool, err error) {
	if len(group) == 0 {
		return nil, nil
	}
	c := newColumns(len(group))
	olds := make([][]byte, 0, len(group))
	var classes, details []string
	if slices.ContainsFunc(group, func(o *Outcome) bool { return o.Class != "" || o.Detail != "" }) {
		classes, details = make([]string, len(group)), make([]string, len(group))
	}
	var oldSecrets []int64
	if slices.ContainsFunc(group, func(o *Outcome) bool { return o.OldSecretID != 0 }) {
		oldSecrets = make([]int64, len(group))
	}
	agesOfToken := make([]int32, 0, len(group))
	for i, o := range group {
		var old []byte
		if !o.Old.IsZero() {
			if old, err = t.keys.Seal(o.Old, oldTokenAt(o.Claim.RunID, o.Claim.Position)); err != nil {
				return nil, fmt.Errorf("seal the old token of %s: %w", o.Claim.Domain, err)
			}
		}
		c.add(o)
		olds, agesOfToken = append(olds, old), append(agesOfToken, millisecondsSince(o.ExchangedAt))
		if classes != nil {
			classes[i], details[i] = string(o.Class), o.Detail
		}
		if oldSecrets != nil {
			oldSecrets[i] = o.OldSecretID
		}
	}
	proven := make(map[key]bool, len(group))
	if err := t.collectKeys(ctx, proven, writeProven, c.held(olds, classes, details, agesOfToken, oldSecrets)...); err != nil {
		return nil, fmt.Errorf("write proofs: %w", err)
	}
	swaps := make([]*Outcome, 0, len(group))
	for _, o := range group {
		if proven[o.Claim.key()] {
			swaps = append(swaps, o)
		}
	}
	maps.Copy(written, proven)
	if unswapped, err = t.swapTokens(ctx, swaps); err != nil || oldSecrets == nil {
		return unswapped, err
	}
	return unswapped, t.carryFormer(ctx, swaps)
}

func (t *Tx) writeInPlace(ctx context.Context, group []*Outcome, written, due map[key]bool) error {
	if len(group) == 0 {
		return nil
	}
	c := newColumns(len(group))
	for _, o := range group {
		c.add(o)
	}
	if err := t.collectKeys(ctx, written, writeProvenInPlace, c.held()...); err != nil {
		return fmt.Errorf("write proofs: %w", err)
	}
	// What the fence kept out is due again, unless a newer claim has it.
	var lost []*Outcome
	for _, o := range group {
		if !written[o.Claim.key()] {
			lost = append(lost, o)
		}
	}
	return t.writeLost(ctx, lost, due)
}

func (t *Tx) writeAside(ctx context.Context, group []*Outcome, written map[key]bool) error {
	if len(group) == 0 {
		return nil
	}
	c := newColumns(len(group))
	var states, classes, details []string
	var delays, asked []int64
	var acted, unsent []bool
	if err := t.keepMinted(ctx, group); err != nil {
		return err
	}
	for _, o := range group {
		c.add(o)
		states, classes, details = append(states, string(o.State)), append(classes, string(o.Class)), append(details, o.Detail)
		delay := int64(-1)
		switch o.State {
		case rotation.ItemRetrying, rotation.ItemUnknown, rotation.ItemExchanged:
			delay = o.Delay.Milliseconds()
		}
		delays, acted = append(delays, delay), append(acted, o.Acted || o.State == rotation.ItemUnknown && !o.Unsent)
		asked, unsent = append(asked, o.Asked.Milliseconds()), append(unsent, o.Unsent)
	}
	over, err := t.collectWritten(ctx, written, writeAside, c.held(states, classes, details, delays, acted, asked, unsent)...)
	if err != nil {
		return fmt.Errorf("write outcomes: %w", err)
	}
	return t.markLate(ctx, group, written, over)
}

func (t *Tx) writeLost(ctx context.Context, group []*Outcome, due map[key]bool) error {
	if len(group) == 0 {
		return nil
	}
	c := newColumns(len(group))
	for _, o := range group {
		c.add(o)
	}
	if err := t.collectKeys(ctx, due, makeDue, c.held()...); err != nil {
		return fmt.Errorf("make replaced tokens due: %w", err)
	}
	return nil
}

func (t *Tx) collectKeys(ctx context.Context, into map[key]bool, statement string, args ...any) error {
	rows, err := t.tx.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	var k key
	_, err = pgx.ForEachRow(rows, []any{&k.runID, &k.position}, func() error {
		into[k] = true
		return nil
	})
	return err
}

// columns are the arrays that the outcome statements take.
type columns struct {
	runs, positions, generations []int64
	attempts, ages, latencies    []int32
	withBatch                    []bool
}

func newColumns(n int) *columns {
	return &columns{
		runs: make([]int64, 0, n), positions: make([]int64, 0, n), generations: make([]int64, 0, n),
		attempts: make([]int32, 0, n), ages: make([]int32, 0, n), latencies: make([]int32, 0, n),
		withBatch: make([]bool, 0, n),
	}
}

func (c *columns) add(o *Outcome) {
	c.runs, c.positions = append(c.runs, o.Claim.RunID), append(c.positions, o.Claim.Position)
	c.generations = append(c.generations, o.Claim.Generation)
	c.attempts, c.ages = append(c.attempts, int32(o.Claim.Attempt)), append(c.ages, millisecondsSince(o.Claim.at))
	c.latencies, c.withBatch = append(c.latencies, o.latencyMS()), append(c.withBatch, o.Claim.withBatch())
}

// held is heldArrays, with what a statement takes besides.
func (c *columns) held(more ...any) []any {
	return append([]any{c.runs, c.positions, c.attempts, c.withBatch, c.generations, c.ages, c.latencies}, more...)
}

func (o *Outcome) latencyMS() int32 { return int32(min(o.Latency.Milliseconds(), 1<<31-1)) }

// millisecondsSince is by the monotonic clock; 0 for no time.
func millisecondsSince(at time.Time) int32 {
	if at.IsZero() {
		return 0
	}
	return int32(min(time.Since(at).Milliseconds(), 1<<31-1))
}
