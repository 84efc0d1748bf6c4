package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Entry is one line of the journal. Hash covers every other field and the hash
// of the entry before, so that a removed, added or altered line shows.
type Entry struct {
	Seq   int64     `json:"seq"`
	At    time.Time `json:"at"`
	Actor string    `json:"actor"`
	Event string    `json:"event"`
	// RunID is 0 for entries about no run.
	RunID    int64           `json:"run,omitempty"`
	Detail   json.RawMessage `json:"detail"`
	PrevHash string          `json:"prev_hash"`
	Hash     string          `json:"hash"`
}

// sum computes the hash that e must have. The encoding is the JSON of the
// fields in the order of the struct, times in UTC with microseconds.
func (e Entry) sum() ([]byte, error) {
	text, err := json.Marshal(struct {
		Seq    int64  `json:"seq"`
		At     string `json:"at"`
		Actor  string `json:"actor"`
		Event  string `json:"event"`
		RunID  int64  `json:"run"`
		Detail string `json:"detail"`
		Prev   string `json:"prev_hash"`
	}{e.Seq, e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), e.Actor, e.Event, e.RunID, string(e.Detail), e.PrevHash})
	if err != nil {
		return nil, fmt.Errorf("encode journal entry %d: %w", e.Seq, err)
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

var (
	lockRun      = sql(`select from rotator.runs where id = $1 for no key update`)
	lockJournal  = sql(`select now() from pg_advisory_xact_lock(7021791822310)`)
	lastJournal  = sql(`select seq, hash from rotator.journal order by seq desc limit 1`)
	writeJournal = sql(`insert into rotator.journal (seq, at, actor, event, run_id, detail, prev_hash, hash)
		values ($1, $2, $3, $4, nullif($5::bigint, 0), $6, $7, $8)`)
	readJournal = sql(`select seq, at, actor, event, coalesce(run_id, 0), detail, prev_hash, hash
		from rotator.journal where seq > $1 and ($2::bigint = 0 or run_id = $2) order by seq limit $3`)
)

// Log appends an entry. Writers wait for each other until commit, which keeps
// the chain whole; entries are decisions, so there are few.
func (t *Tx) Log(ctx context.Context, actor, event string, runID int64, detail any) error {
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("encode journal detail of %s: %w", event, err)
	}
	// The run before the journal, always: two orders would be a deadlock.
	if runID != 0 {
		if _, err := t.tx.Exec(ctx, lockRun, runID); err != nil {
			return fmt.Errorf("lock run %d: %w", runID, err)
		}
	}
	e := Entry{Actor: actor, Event: event, RunID: runID, Detail: text}
	if err := t.tx.QueryRow(ctx, lockJournal).Scan(&e.At); err != nil {
		return fmt.Errorf("lock the journal: %w", err)
	}
	prev := make([]byte, sha256.Size)
	var last int64
	if err := t.tx.QueryRow(ctx, lastJournal).Scan(&last, &prev); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read the journal's head: %w", err)
	}
	e.Seq, e.PrevHash = last+1, hex.EncodeToString(prev)
	hash, err := e.sum()
	if err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, writeJournal, e.Seq, e.At, e.Actor, e.Event, e.RunID, string(e.Detail), prev, hash); err != nil {
		return fmt.Errorf("write journal entry %s: %w", event, err)
	}
	return nil
}

// Journal calls yield for each entry after seq, of one run or (runID 0) of all,
// in order, until yield fails.
func (s *Store) Journal(ctx context.Context, after, runID int64, yield func(Entry) error) error {
	const page = 1000
	for {
		entries, err := collect(ctx, s.pool, "read the journal", scanEntry, readJournal, after, runID, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := yield(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(entries) < page {
			return nil
		}
	}
}

func scanEntry(row pgx.CollectableRow) (Entry, error) {
	var e Entry
	var detail string
	var prev, hash []byte
	err := row.Scan(&e.Seq, &e.At, &e.Actor, &e.Event, &e.RunID, &detail, &prev, &hash)
	e.At = e.At.UTC()
	e.Detail, e.PrevHash, e.Hash = json.RawMessage(detail), hex.EncodeToString(prev), hex.EncodeToString(hash)
	return e, err
}

// VerifyJournal walks the whole chain and returns its length and head. The error
// names the first entry that does not fit.
func (s *Store) VerifyJournal(ctx context.Context) (entries int64, head string, err error) {
	head = hex.EncodeToString(make([]byte, sha256.Size))
	err = s.Journal(ctx, 0, 0, func(e Entry) error {
		if err := e.Follows(entries, head); err != nil {
			return err
		}
		entries, head = e.Seq, e.Hash
		return nil
	})
	return entries, head, err
}

// Follows checks that e is the entry after seq, whose hash is prev. It needs no
// database: an exported journal can be verified anywhere.
func (e Entry) Follows(seq int64, prev string) error {
	if e.Seq != seq+1 {
		return fmt.Errorf("journal entry %d is missing: %d follows %d", seq+1, e.Seq, seq)
	}
	if e.PrevHash != prev {
		return fmt.Errorf("journal entry %d does not continue the chain: the entry before it was altered or replaced", e.Seq)
	}
	want, err := e.sum()
	if err != nil {
		return err
	}
	if got, err := hex.DecodeString(e.Hash); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("journal entry %d was altered", e.Seq)
	}
	return nil
}
