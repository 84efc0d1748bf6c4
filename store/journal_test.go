package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// journal appends n entries with awkward details.
func journal(t *testing.T, db *storetest.DB, n int) {
	t.Helper()
	for i := range n {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.Log(t.Context(), "Nguyễn <ops&co>", "test.entry", int64(i%3), map[string]any{"n": i, "text": "\"quoted\" \u2028 & <tag>", "f": 1.50})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnUntouchedJournalVerifies(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	n, head, err := db.VerifyJournal(t.Context())
	if err != nil || n != 0 || head != strings.Repeat("0", 64) {
		t.Errorf("the empty journal: %d entries, head %s, %v", n, head, err)
	}
	journal(t, db, 12)
	n, head, err = db.VerifyJournal(t.Context())
	if err != nil || n != 12 {
		t.Fatalf("%d entries, %v", n, err)
	}
	var last store.Entry
	if err := db.Journal(t.Context(), 11, 0, func(e store.Entry) error { last = e; return nil }); err != nil || last.Hash != head || last.Seq != 12 {
		t.Errorf("head %s, the last entry is %+v (%v)", head, last, err)
	}
}

func TestTamperingWithTheJournalShows(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		tamper, want string
	}{
		"an entry is removed":  {"delete from rotator.journal where seq = 5", "journal entry 5 is missing: 6 follows 4"},
		"the first is removed": {"delete from rotator.journal where seq = 1", "journal entry 1 is missing"},
		"a detail is altered":  {`update rotator.journal set detail = replace(detail, '"n":4', '"n":40') where seq = 5`, "journal entry 5 was altered"},
		"an actor is altered":  {"update rotator.journal set actor = 'nobody' where seq = 5", "journal entry 5 was altered"},
		"an event is altered":  {"update rotator.journal set event = 'x' where seq = 5", "journal entry 5 was altered"},
		"a run is altered":     {"update rotator.journal set run_id = 99 where seq = 5", "journal entry 5 was altered"},
		"a time is altered":    {"update rotator.journal set at = at + interval '1 microsecond' where seq = 5", "journal entry 5 was altered"},
		"spaces are added":     {"update rotator.journal set detail = detail || ' ' where seq = 5", "journal entry 5 was altered"},
		"a hash is altered":    {"update rotator.journal set hash = sha256('x') where seq = 5", "journal entry 5 was altered"},
		"a link is altered":    {"update rotator.journal set prev_hash = sha256('x') where seq = 5", "journal entry 5 does not continue the chain"},
		"two entries change places": {`update rotator.journal set seq = 1000 where seq = 5;
			update rotator.journal set seq = 5 where seq = 6; update rotator.journal set seq = 6 where seq = 1000`, "journal entry 5 does not continue the chain"},
		"one is removed and the rest renumbered": {`delete from rotator.journal where seq = 5;
			update rotator.journal set seq = seq - 1 where seq = 6; update rotator.journal set seq = seq - 1 where seq = 7`, "journal entry 5 does not continue the chain"},
		"one is put in": {`insert into rotator.journal (seq, at, actor, event, detail, prev_hash, hash)
			select 13, now(), 'x', 'x', '{}', hash, sha256('y') from rotator.journal where seq = 12`, "journal entry 13 was altered"},
	}
	db := storetest.New(t)
	journal(t, db, 12)
	exec(t, db, "alter table rotator.journal disable trigger journal_append_only")
	exec(t, db, "create table public.untouched as table rotator.journal")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			exec(t, db, "delete from rotator.journal")
			exec(t, db, "insert into rotator.journal table public.untouched")
			if _, _, err := db.VerifyJournal(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, statement := range strings.Split(tt.tamper, ";") {
				exec(t, db, statement)
			}
			if _, _, err := db.VerifyJournal(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestJournalOfManyWritersIsOneChain(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() {
			for i := range 10 {
				err := db.InTx(context.Background(), func(tx *store.Tx) error {
					// An entry and its rollback must leave no gap.
					if err := tx.Log(context.Background(), "w", "rolled.back", 0, i); err != nil {
						return err
					}
					return errRollback
				})
				if !errors.Is(err, errRollback) {
					t.Error(err)
				}
				err = db.InTx(context.Background(), func(tx *store.Tx) error {
					return tx.Log(context.Background(), fmt.Sprint("writer ", w), "kept", 0, i)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, _, err := db.VerifyJournal(t.Context()); err != nil || n != 60 {
		t.Errorf("%d entries, %v", n, err)
	}
}

var errRollback = errors.New("roll back")

func TestAnExportedJournalVerifiesWithoutADatabase(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	journal(t, db, 4)
	var text []byte
	err := db.Journal(t.Context(), 0, 0, func(e store.Entry) error {
		line, err := json.Marshal(e)
		text = append(append(text, line...), '\n')
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	seq, head := int64(0), strings.Repeat("0", 64)
	for decoder.More() {
		var e store.Entry
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if err := e.Follows(seq, head); err != nil {
			t.Fatal(err)
		}
		seq, head = e.Seq, e.Hash
	}
	if seq != 4 {
		t.Errorf("%d entries were exported", seq)
	}
}

func TestJournalOfOneRunAndFromAnEntryOn(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	journal(t, db, 9)
	read := func(after, run int64) (seqs []int64) {
		t.Helper()
		if err := db.Journal(t.Context(), after, run, func(e store.Entry) error { seqs = append(seqs, e.Seq); return nil }); err != nil {
			t.Fatal(err)
		}
		return seqs
	}
	if diff := cmp.Diff([]int64{2, 5, 8}, read(0, 1)); diff != "" {
		t.Errorf("of run 1 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{8, 9}, read(7, 0)); diff != "" {
		t.Errorf("after 7 (-want +got):\n%s", diff)
	}
	if err := db.Journal(t.Context(), 0, 0, func(store.Entry) error { return errRollback }); !errors.Is(err, errRollback) {
		t.Errorf("a reader that fails: %v", err)
	}
}

func TestAJournalOfSeveralPagesIsReadWhole(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		for i := range 2000 {
			if err := tx.Log(t.Context(), "w", "e", 0, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, err := db.VerifyJournal(t.Context()); err != nil || n != 2000 {
		t.Errorf("%d entries, %v", n, err)
	}
}
