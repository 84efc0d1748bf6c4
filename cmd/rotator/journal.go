package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/store"
)

func newJournal(c *cli) *cobra.Command {
	return noun("journal", "The record of every decision",
		`The journal records every decision and phase change, with who and when. Each
entry holds the hash of the one before, so that a removed, added or altered entry
shows.`,
		newJournalList(c), newJournalVerify(c))
}

func newJournalList(c *cli) *cobra.Command {
	var after, run int64
	var limit int
	cmd := &cobra.Command{
		Use: "list [--run ID] [--after SEQ] [--limit N]", Short: "List the entries, oldest first",
		Long: `List the journal's entries, oldest first.

JSON Lines: one object {seq, at, actor, event, run, detail, prev_hash, hash} per
entry. Kept somewhere else, they can be verified there: rotator journal verify.`,
		Example: `  rotator journal list
  rotator journal list --run 3
  rotator journal list --json > journal.jsonl`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if after < 0 || run < 0 || limit < 0 {
				return usagef(cmd, "--after, --run and --limit are not negative")
			}
			return c.listJournal(cmd.Context(), after, run, limit)
		},
	}
	cmd.Flags().Int64Var(&after, "after", 0, "begin after the entry with this number")
	cmd.Flags().Int64Var(&run, "run", 0, "entries of this run only")
	cmd.Flags().IntVar(&limit, "limit", 0, "most entries to list; 0 for all")
	c.jsonFlag(cmd, "print JSON Lines")
	return cmd
}

// errEnough ends a listing that has reached its limit.
var errEnough = errors.New("enough")

func (c *cli) listJournal(ctx context.Context, after, run int64, limit int) error {
	s, done, err := c.openStore(ctx)
	if err != nil {
		return err
	}
	defer done()
	if run > 0 {
		// Nothing listed would look like a run that nobody decided on.
		if _, err := s.Run(ctx, run); errors.Is(err, store.ErrNotFound) {
			return exitWith(exitFailed, err, "`rotator journal list` names the run of every decision")
		} else if err != nil {
			return err
		}
	}
	out := bufio.NewWriter(answer{c})
	listed := 0
	err = s.Journal(ctx, after, run, func(e store.Entry) error {
		if limit > 0 && listed == limit {
			return errEnough
		}
		listed++
		return writeEntry(out, e, c.asJSON)
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if flushed := out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("write the answer: %w", flushed)
	}
	return err
}

func writeEntry(w io.Writer, e store.Entry, asJSON bool) error {
	if asJSON {
		text, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode journal entry %d: %w", e.Seq, err)
		}
		_, err = w.Write(append(text, '\n'))
		return err
	}
	run := ""
	if e.RunID != 0 {
		run = " run " + strconv.FormatInt(e.RunID, 10)
	}
	_, err := fmt.Fprintf(w, "%d  %s  %s  %s%s  %s\n", e.Seq, moment(&e.At), printable(e.Actor), printable(e.Event), run, printable(string(e.Detail)))
	return err
}

// verdict is the answer of `journal verify`.
type verdict struct {
	Entries int64  `json:"entries"`
	Head    string `json:"head"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

func newJournalVerify(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify [FILE|-]", Short: "Check that no entry was removed, added or altered",
		Long: `Walk the whole journal and check every hash. With FILE, the output of
rotator journal list --json is checked instead, without a database: all of it,
for a list of one run, or after an entry, has gaps.

Keep the head somewhere else: entries cut off at the end do not show without it.

JSON: one object {entries, head, ok, problem}. Exit code 1 if it is not whole.`,
		Example: "  rotator journal verify\n  rotator journal verify journal.jsonl",
		Args:    mayTake("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return c.verifyJournalFile(cmd.Context(), args[0])
			}
			s, done, err := c.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			return c.printVerdict(s.VerifyJournal(cmd.Context()))
		},
	}
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) verifyJournalFile(ctx context.Context, path string) error {
	in := cancellable(ctx, c.stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		defer f.Close()
		in = f
	}
	entries, head, err := verifyEntries(in)
	if err == nil && entries == 0 {
		// An empty pipe is nearly always a command that failed before it.
		err = errors.New("there is no journal entry to verify: is this the output of `rotator journal list --json`?")
	}
	return c.printVerdict(entries, head, err)
}

// verifyEntries checks JSON Lines of a journal from its first entry.
func verifyEntries(r io.Reader) (entries int64, head string, err error) {
	head = hex.EncodeToString(make([]byte, 32)) // the first entry follows zeros
	lines := json.NewDecoder(r)
	for {
		var e store.Entry
		switch err := lines.Decode(&e); {
		case errors.Is(err, io.EOF):
			return entries, head, nil
		case err != nil:
			return entries, head, fmt.Errorf("journal entry %d cannot be read: %w", entries+1, err)
		}
		if err := e.Follows(entries, head); err != nil {
			return entries, head, err
		}
		entries, head = e.Seq, e.Hash
	}
}

func (c *cli) printVerdict(entries int64, head string, err error) error {
	v := verdict{Entries: entries, Head: head, OK: err == nil}
	if err != nil {
		v.Problem = inline(err.Error())
	}
	var printErr error
	if c.asJSON {
		printErr = c.printJSON(v)
	} else if v.OK {
		printErr = c.printFacts(fact{"entries", strconv.FormatInt(v.Entries, 10)}, fact{"head", v.Head}, fact{"verdict", "whole"})
	}
	return errors.Join(err, printErr)
}
