package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
)

// boundSummary is the answer of `shop import --bound`.
type boundSummary struct {
	store.BoundReading
	Imported bool `json:"imported"`
	DryRun   bool `json:"dry_run"`
	// preview tells that a dry run counted what would be stored.
	preview bool
}

// importBound is `shop import --bound`.
func (c *cli) importBound(ctx context.Context, cmd *cobra.Command, f importFlags) error {
	if cmd.Flags().Changed("format") {
		return usagef(cmd, "--format is for lists: a table has none")
	}
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	b, err := s.Binding(ctx, a.ID)
	if errors.Is(err, store.ErrNotBound) {
		return exitWith(exitFailed, fmt.Errorf("app %s: %w", a.Name, err), "")
	}
	if err != nil {
		return err
	}
	secretID, err := c.secretID(ctx, cmd, s, a, f.version)
	if err != nil {
		return err
	}
	c.waiting("reading %s, of app %s", b.Name(), a.Name)
	var found store.BoundReading
	reading, err := s.ImportBound(ctx, c.actor, a, b, secretID, func(r store.BoundReading) error {
		found = r
		switch {
		case r.Faulty() && !f.skipBad:
			return errNotStored
		case f.dryRun:
			return store.ErrPreview
		}
		return nil
	})
	preview := errors.Is(err, store.ErrPreview)
	stopped := preview || errors.Is(err, errNotStored)
	if err != nil && !stopped {
		return fmt.Errorf("import shops of the bound table: %w", err)
	}
	if stopped {
		reading = found
	} else if reading.Added+reading.Updated >= manyShops {
		if err := s.AnalyzeShops(ctx); err != nil {
			c.notef("rotator: %s", inline(err.Error()))
		}
	}
	c.printFound(reading)
	c.noteKept(reading.ImportResult, f.version)
	if err := c.printBoundImport(boundSummary{BoundReading: reading, Imported: !stopped, DryRun: f.dryRun, preview: preview}); err != nil {
		return err
	}
	switch {
	case reading.Faulty() && stopped && !preview:
		return exitWith(exitFailed, errNotStored, "mend the rows, or store the good ones with --skip-bad")
	case reading.Faulty(), reading.Behind > 0:
		return exitWith(exitExceptions, nil, "")
	}
	return nil
}

// printFound tells a person what is wrong with rows, and which shops moved.
func (c *cli) printFound(r store.BoundReading) {
	var problems shopfile.Problems
	problems.Add(r.Problems...)
	c.printProblems(&problems)
	for _, change := range r.Changes {
		c.notef("%s", printable(change))
	}
	if r.Behind > 0 {
		c.notef("%s still hold a token that a rotation replaced, and could not be written now: they are locked or refuse it. Import again.", plural(r.Behind, "row"))
	}
	if r.Unlisted > 0 {
		c.notef("Stored, with no row in the table: %s of this app. Runs exchange them, and only rotator has their tokens.", plural(r.Unlisted, "shop"))
	}
}

func (c *cli) printBoundImport(s boundSummary) error {
	if c.asJSON {
		return c.printJSON(s)
	}
	return c.printFacts(append(storedFacts(s.ImportResult, s.Imported, s.preview),
		fact{"without a token", fmt.Sprint(s.WithoutToken)},
		fact{"bad rows", fmt.Sprint(s.Bad)},
		fact{"duplicates", fmt.Sprint(s.Duplicates)},
		fact{"moved", fmt.Sprint(s.Moved)},
		fact{"left", fmt.Sprint(s.Left)},
		fact{"back", fmt.Sprint(s.Back)},
		fact{"restored", fmt.Sprint(s.Restored)},
	)...)
}
