package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// exportFlags are the flags of `shop export`.
type exportFlags struct {
	output, format string
	columns        []string
	force, derived bool
	changedSince   int64
}

// derivedColumns are what a row of --derived has.
var derivedColumns = []string{"domain", "access_token"}

func newShopExport(c *cli) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use: "export [--output FILE] [--changed-since RUN | --derived]", Short: "Write the shops with their current tokens, in clear",
		Long: `Write every shop with its current tokens, in clear, as a list that shop import
takes back. FILE is made readable by its owner only, and appears when it is
complete; without --output the list goes to stdout, which must be a pipe or a
private file unless --columns has no token. That tokens were written out is
recorded in the journal first.

With --changed-since only the shops are written whose token that run, or a later
one, has replaced: what an app that is not in this database has to be told of.
The number of a run is in rotator rotation status.

With --derived the tokens are those that the open token migration has derived,
before and after the cutover, as domain and access_token: for the column of your
own that the new version of the app reads. Tokens that were refused, answered for
another shop, or are of a legacy token that was replaced since, are left out, and
counted on stderr. Do not import that list.

JSON, with --output FILE only: one object {shops, output, format}.`,
		Example: `  rotator shop export --output shops.csv
  rotator shop export --columns domain,access_token | deploy-tokens
  rotator shop export --output shops.jsonl --json
  rotator shop export --changed-since 3 --columns domain,access_token | deploy-tokens
  rotator shop export --derived | fill-oauth-token`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.exportShops(cmd.Context(), cmd, f) },
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "-", "file to write; - for stdout")
	cmd.Flags().StringVar(&f.format, "format", "", "csv or jsonl (default: by FILE's ending, else csv)")
	cmd.Flags().StringSliceVar(&f.columns, "columns", nil, "columns to write (default: all): "+strings.Join(shopfile.Columns(), ","))
	cmd.Flags().BoolVar(&f.force, "force", false, "replace FILE, or write tokens to a terminal")
	cmd.Flags().Int64Var(&f.changedSince, "changed-since", 0, "only shops whose token this run, or a later one, replaced")
	cmd.Flags().BoolVar(&f.derived, "derived", false, "the tokens that the open token migration has derived")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object; needs --output")
	return cmd
}

// chosenFormat is --format, or what the file's ending says.
func (f exportFlags) chosenFormat() (shopfile.Format, error) {
	format, err := shopfile.ParseFormat(f.format)
	if err != nil || format != shopfile.Auto {
		return format, err
	}
	if strings.HasSuffix(f.output, ".jsonl") || strings.HasSuffix(f.output, ".ndjson") {
		return shopfile.JSONL, nil
	}
	return shopfile.CSV, nil
}

// tokenless are the columns that anybody may see.
var tokenless = []string{"domain", "org_id", "installed_at", "excluded_reason", "priority"}

// inClear reports whether tokens are among the columns.
func (f exportFlags) inClear() bool {
	return len(f.columns) == 0 || slices.ContainsFunc(f.columns, func(name string) bool {
		return !slices.Contains(tokenless, strings.ToLower(strings.TrimSpace(name)))
	})
}

func (c *cli) exportShops(ctx context.Context, cmd *cobra.Command, f exportFlags) error {
	format, err := f.chosenFormat()
	toStdout := f.output == "-"
	switch {
	case err != nil:
		return usagef(cmd, "--format: %w", err)
	case wrongColumn(f.columns) != "":
		return usagef(cmd, "--columns: %s is none; the columns are %s", quoted(wrongColumn(f.columns)), strings.Join(shopfile.Columns(), ", "))
	case shopfile.CheckColumns(f.columns) != nil:
		return usagef(cmd, "--columns: %w", shopfile.CheckColumns(f.columns))
	case cmd.Flags().Changed("changed-since") && f.changedSince <= 0:
		return usagef(cmd, "--changed-since %d: write the number of a run, as `rotator rotation status` shows it", f.changedSince)
	case f.derived && (cmd.Flags().Changed("changed-since") || f.columns != nil):
		return usagef(cmd, "--derived writes domain and access_token of one run: leave --changed-since and --columns away")
	case toStdout && c.asJSON:
		return usagef(cmd, "--json needs --output FILE: the list itself goes to stdout")
	case toStdout && isTerminal(c.stdout) && !f.force && f.inClear():
		return usagef(cmd, "stdout is a terminal, and the tokens would be on the screen: give --output FILE, pipe it, or say --force")
	}
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := c.runOf(ctx, s, a, f.changedSince); err != nil {
		return err
	}
	if f.derived {
		f.columns = derivedColumns
		if err := c.underMigration(ctx, s, a); err != nil {
			return err
		}
	}
	stdout := c.stdout
	if !f.inClear() {
		stdout = struct{ io.Writer }{stdout} // whoever can read it may
	}
	out, err := shopfile.CreatePrivate(f.output, shopfile.CreateOptions{Overwrite: f.force, Stdout: stdout})
	if err != nil {
		next := ""
		if errors.Is(err, shopfile.ErrExists) {
			next = "--force replaces it"
		}
		return exitWith(exitFailed, err, next)
	}
	defer out.Close()
	w, err := shopfile.NewWriter(out, format, f.columns)
	if err != nil {
		return exitWith(exitUsage, err, "")
	}
	// Before the first token leaves, not after the last: a reader may have seen
	// them although the export failed.
	err = s.InTx(ctx, func(tx *store.Tx) error {
		return tx.Log(ctx, c.actor, "shops.exported", 0, map[string]any{"app": a.Name, "output": f.output, "format": format, "columns": f.columns, "changed_since": f.changedSince, "derived": f.derived})
	})
	if err != nil {
		return err
	}
	shops, err := c.writeShops(ctx, s, a, f, w)
	if err != nil {
		return err
	}
	// Only a list that was written whole is put at its place.
	err = w.Flush()
	if err == nil {
		err = out.Commit()
	}
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(map[string]any{"shops": shops, "output": f.output, "format": format})
	}
	what := plural(shops, "shop")
	if f.inClear() {
		what += " with tokens in clear"
	}
	c.notef("Wrote %s to %s.", what, printable(describeOutput(f.output)))
	return nil
}

// runOf fails unless the app has the run; 0 is none.
func (c *cli) runOf(ctx context.Context, s *store.Store, a store.App, runID int64) error {
	if runID == 0 {
		return nil
	}
	runs, err := s.Runs(ctx, a.ID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(runs, func(r store.Run) bool { return r.ID == runID }) {
		return nil
	}
	have := "it has none yet"
	if len(runs) > 0 {
		have = fmt.Sprintf("its newest is %d", runs[0].ID)
	}
	return exitWith(exitFailed, fmt.Errorf("app %s has no run %d: %s", a.Name, runID, have), "")
}

// underMigration fails unless a token migration of the app is open, and says so
// while it has not derived all it will.
func (c *cli) underMigration(ctx context.Context, s *store.Store, a store.App) error {
	runs, err := s.Runs(ctx, a.ID)
	if err != nil {
		return err
	}
	if len(runs) == 0 || runs[0].Kind != rotation.KindTokenMigration || !runs[0].Open() {
		return exitWith(exitFailed, fmt.Errorf("no token migration of app %s is open: after its end the tokens are in `rotator shop export`, before it there are none", a.Name),
			"rotator tokenmigration plan")
	}
	if runs[0].Phase == rotation.PhaseDeriving {
		c.notef("The token migration is still deriving: the list is not complete.")
	}
	return nil
}

// wrongColumn is the first name that is no column; "" if all are.
func wrongColumn(names []string) string {
	for _, name := range names {
		if !slices.ContainsFunc(shopfile.Columns(), func(known string) bool {
			return strings.EqualFold(known, strings.TrimSpace(name))
		}) {
			return name
		}
	}
	return ""
}

func describeOutput(path string) string {
	if path == "-" {
		return "stdout"
	}
	return path
}

func (c *cli) writeShops(ctx context.Context, s *store.Store, a store.App, f exportFlags, w *shopfile.Writer) (int, error) {
	shops := 0
	c.waiting("reading the shops of app %s", a.Name)
	moves := c.moves()
	write := func(row shopfile.Row) error {
		shops++
		moves("wrote %s", plural(shops, "shop"))
		return w.Write(row)
	}
	var err error
	switch {
	case f.derived:
		var left store.DerivedLeft
		if left, err = s.ExportDerived(ctx, a.ID, write); left.Refused > 0 {
			c.notef("Left out: %s whose derived token was refused or answers for another shop; see rotator tokenmigration report.", plural(left.Refused, "shop"))
		}
		if left.Underived > 0 {
			c.notef("Left out: %s whose token is not derived yet, or of another legacy token than the present one; a worker derives it: write the list again then.", plural(left.Underived, "shop"))
		}
	case f.changedSince != 0:
		err = s.ExportChanged(ctx, a.ID, f.changedSince, write)
	default:
		err = s.ExportShops(ctx, a.ID, write)
	}
	if err != nil {
		return shops, fmt.Errorf("export shops: %w", err)
	}
	return shops, nil
}
