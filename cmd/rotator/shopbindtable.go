package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

var errNotBindable = errors.New("nothing was bound: the table has problems")

// bindTable checks the table, adds the column if asked, reads the rows without
// storing them, and binds.
func (c *cli) bindTable(ctx context.Context, s *store.Store, a store.App, f bindFlags) (err error) {
	b := f.binding
	answer := bindAnswer{App: a.Name, Binding: &b, DryRun: f.dryRun}
	if answer.BoundCheck, err = s.CheckBinding(ctx, b, f.createColumn); err != nil {
		return err
	}
	if len(answer.Problems) > 0 {
		return c.notBindable(answer)
	}
	if statement := answer.CreateColumn; statement != "" {
		c.notef("%s;", printable(statement))
		if !f.dryRun {
			if err := s.CreateColumn(ctx, c.actor, a, b); err != nil {
				return err
			}
			defer func() {
				if err != nil && !answer.Bound {
					c.notef("The column %s was added to %s and stays, empty; binding again uses it.", printable(b.OAuth), printable(b.Name()))
				}
			}()
			if answer.BoundCheck, err = s.CheckBinding(ctx, b, false); err != nil {
				return err
			}
			answer.CreateColumn = statement
		}
	}
	if len(answer.Problems) > 0 {
		return c.notBindable(answer)
	}
	if err := c.readForBinding(ctx, s, a, &answer); err != nil {
		return err
	}
	if !f.dryRun {
		if err := s.Bind(ctx, c.actor, a, b); err != nil {
			return err
		}
		answer.Bound = true
	}
	return c.printBound(ctx, s, a, answer)
}

// manyRows take so long to read that a person should know.
const manyRows = 100_000

// readForBinding reads the rows as an import would, and stores nothing.
func (c *cli) readForBinding(ctx context.Context, s *store.Store, a store.App, answer *bindAnswer) error {
	b := *answer.Binding
	if answer.CreateColumn != "" && answer.DryRun {
		b.OAuth = "" // it is not there yet
		if b.Access == "" {
			return nil
		}
	}
	if answer.Rows > manyRows {
		c.notef("reading %s…", plural(int(answer.Rows), "row"))
	}
	reading, err := s.ImportBound(ctx, c.actor, a, b, 0, func(r store.BoundReading) error {
		answer.Reading = &r
		return store.ErrPreview
	})
	if err != nil && !errors.Is(err, store.ErrPreview) {
		return fmt.Errorf("read the table: %w", err)
	}
	if answer.Rows == 0 {
		answer.Rows = int64(reading.Rows + reading.Bad + reading.WithoutToken)
	}
	return nil
}

func (c *cli) notBindable(answer bindAnswer) error {
	for _, problem := range answer.Problems {
		c.notef("%s", inline(problem))
	}
	for _, warning := range answer.Warnings {
		c.notef("note: %s", inline(warning))
	}
	next := "mend what is listed and bind again"
	if len(answer.Grants) > 0 {
		c.notef("The owner of the table gives the rights with:")
		for _, grant := range answer.Grants {
			c.notef("  %s;", printable(grant))
		}
	}
	if c.asJSON {
		if err := c.printJSON(answer); err != nil {
			return err
		}
	}
	return exitWith(exitFailed, errNotBindable, next)
}

func (c *cli) printBound(ctx context.Context, s *store.Store, a store.App, answer bindAnswer) error {
	for _, warning := range answer.Warnings {
		c.notef("note: %s", inline(warning))
	}
	r := answer.Reading
	if r != nil {
		c.printFound(*r)
	}
	if c.asJSON {
		return c.printJSON(answer)
	}
	facts := append(bindingFacts(a, *answer.Binding), fact{"rows", fmt.Sprint(answer.Rows)})
	if r != nil {
		facts = append(facts, fact{"good rows", fmt.Sprint(r.Rows)}, fact{"without a token", fmt.Sprint(r.WithoutToken)},
			fact{"bad rows", fmt.Sprint(r.Bad)}, fact{"duplicates", fmt.Sprint(r.Duplicates)})
	}
	if answer.DryRun {
		facts = append(facts, fact{"bound", "no: a dry run"})
	}
	if err := c.printFacts(facts...); err != nil {
		return err
	}
	if answer.DryRun {
		return nil
	}
	read := c.words.command("rotator shop import --bound")
	run, open, err := openRunOf(ctx, s, a)
	switch {
	case err != nil:
		return err
	case open && run.Kind == rotation.KindTokenMigration:
		c.notef("Run %d is open: it reads the table now. A row that lacks a token which the run has derived already gets it only when it is proven, after the cutover: fill the column from %s before, or cancel the run and start it again.",
			run.ID, c.words.text("`rotator shop export --derived`"))
	case open:
		c.notef("Run %d is open: it reads the table now, and writes the tokens that it replaces from here on.", run.ID)
	case r != nil && r.Faulty():
		c.notef("Next: mend the rows above, then %s", read)
	default:
		c.notef("Next: %s", read)
	}
	return nil
}

func (c *cli) showBinding(ctx context.Context, s *store.Store, a store.App) error {
	answer := bindAnswer{App: a.Name, BoundCheck: noCheck()}
	b, err := s.Binding(ctx, a.ID)
	switch {
	case errors.Is(err, store.ErrNotBound):
		if c.asJSON {
			return c.printJSON(answer)
		}
		return c.printf("App %s has no table bound: rotator keeps its tokens in its own tables only.\n", a.Name)
	case err != nil:
		return err
	}
	if answer.BoundCheck, err = s.CheckBinding(ctx, b, false); err != nil {
		return err
	}
	answer.Binding, answer.Bound = &b, true
	for _, problem := range answer.Problems {
		c.notef("%s", inline(problem))
	}
	if c.asJSON {
		err = c.printJSON(answer)
	} else {
		err = c.printFacts(append(bindingFacts(a, b),
			fact{"rows", fmt.Sprint(answer.Rows)},
			fact{"bound by", b.BoundBy},
			fact{"bound at", moment(&b.BoundAt)},
			fact{"last read", moment(b.ReadAt)},
			fact{"rows left out", fmt.Sprint(b.LeftOut)},
			fact{"rows behind", fmt.Sprint(b.Behind)},
		)...)
	}
	if err == nil && len(answer.Problems) > 0 {
		return exitWith(exitFailed, errors.New("the bound table has problems"), "mend what is listed, or bind again")
	}
	return err
}

func bindingFacts(a store.App, b store.Binding) []fact {
	return []fact{
		{"app", a.Name},
		{"table", b.Name()},
		{"key", b.Key},
		{"domain", b.Domain},
		{"access token", b.Access},
		{"legacy token", b.Legacy},
		{"OAuth token", b.OAuth},
		{"condition", b.Where},
		{"codec", string(b.Codec)},
	}
}
