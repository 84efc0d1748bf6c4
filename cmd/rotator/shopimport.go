package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
)

// importFlags are the flags of `shop import`.
type importFlags struct {
	format          string
	skipBad, dryRun bool
	bound           bool
	version         int
}

func newShopImport(c *cli) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use: "import FILE|- | --bound", Short: "Store the shops of a list, or of the app's own table",
		Long: `Store the shops of a list, in CSV with a header or in JSON Lines, from a file or
stdin. Columns: domain, access_token, and optional org_id, legacy_token,
legacy_password, installed_at, excluded_reason, priority. A breach run takes shops
of a higher priority first; one that was never given is 0.

Importing again changes nothing; a token that differs replaces the stored one.
Every problem is reported by its line, the first 1,000 with text, and nothing is
stored as long as there is one: a bad row, a shop that the list names twice, or a
stale token, which a rotation has replaced. With --skip-bad the good rows are
stored (of a shop named twice the first), and the exit code is 4. With --dry-run
the counts and the exit code are those of the import that is not made.

With --bound the shops are read from the app's own table (see rotator shop bind).
Problems are reported by the row's key. Shops whose row is gone are excluded, and
taken in again when it is back; a row that still holds a token which a rotation
has replaced is given the present one. Runs read the table by themselves.

Say with --secret-version which secret minted the tokens if you are sure. Shops
without one are exchanged by every rotation, which is always safe. It is stored
with a token: where that is stored already, what is known of it stays.

JSON: one object {rows, added, updated, unchanged, duplicates, stale, bad,
imported, dry_run, problems [{line, column, domain, message}]}. rows counts the
good ones: of what is stored, or would be, it is the sum of added, updated,
unchanged, duplicates and stale. duplicates counts rows beyond the first of their
shop; bad rows come on top. With --bound stale ones are among the others. With --secret-version
version_unknown and version_other count the shops that keep what is known.
With --bound also without_token, moved, renamed, left, back, restored, behind,
unlisted, changes [text], and problems have a key instead of a line.`,
		Example: `  rotator shop import shops.csv
  rotator shop import shops.jsonl --skip-bad --json
  rotator shop import --bound --dry-run
  psql -c "copy (select …) to stdout csv header" | rotator shop import - --format csv`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.bound && len(args) > 0 {
				return usagef(cmd, "--bound reads the app's own table: leave %s away", quoted(args[0]))
			}
			if f.bound {
				return nil
			}
			return takes("FILE, or - for stdin, or --bound")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.bound {
				return c.importBound(cmd.Context(), cmd, f)
			}
			return c.importShops(cmd.Context(), cmd, args[0], f)
		},
	}
	cmd.Flags().StringVar(&f.format, "format", "auto", "auto, csv or jsonl")
	cmd.Flags().BoolVar(&f.bound, "bound", false, "read the app's own table instead of a list")
	cmd.Flags().BoolVar(&f.skipBad, "skip-bad", false, "store the good rows although others are bad")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "look for problems and store nothing")
	cmd.Flags().IntVar(&f.version, "secret-version", 0, "version of the secret that minted the tokens; 0 if unknown")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

// importSummary is the answer of `shop import`.
type importSummary struct {
	store.ImportResult
	Bad      int                `json:"bad"`
	Imported bool               `json:"imported"`
	DryRun   bool               `json:"dry_run"`
	Problems []shopfile.Problem `json:"problems"`
	// preview tells that a dry run counted what would be stored.
	preview bool
}

// manyShops is an import that leaves the planner's statistics behind.
const manyShops = 1000

// The reasons why an import that was read to its end stores nothing.
var (
	errNotStored = errors.New("nothing was stored: the list has problems")
	errNoShops   = errors.New("the list has no shops")
)

func (c *cli) importShops(ctx context.Context, cmd *cobra.Command, path string, f importFlags) error {
	format, err := shopfile.ParseFormat(f.format)
	if err != nil {
		return usagef(cmd, "--format: %w", err)
	}
	if path == "" || path == "-" && isTerminal(c.stdin) {
		return usagef(cmd, "name a file, or pipe the list into stdin")
	}
	in, err := c.openList(ctx, path)
	if err != nil {
		return err
	}
	defer in.Close()
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	secretID, err := c.secretID(ctx, cmd, s, a, f.version)
	if err != nil {
		return err
	}
	r := rowReader{from: shopfile.NewReader(in, shopfile.ReadOptions{Format: format}), progress: c.startProgress(), stored: func() {}}
	r.begun = r.progress.waits("waiting for another command that changes app %s, another import perhaps", a.Name)
	result, err := s.ImportShops(ctx, c.actor, a, secretID, r.rows, func(found store.Findings) error {
		r.found = found
		switch {
		case r.read == 0:
			return errNoShops
		case !f.skipBad && (r.bad > 0 || !found.None()):
			return errNotStored
		case f.dryRun:
			return store.ErrPreview
		}
		return nil
	})
	r.begun()
	r.stored()
	r.progress.end()
	if err == nil && result.Added+result.Updated >= manyShops {
		if err := s.AnalyzeShops(ctx); err != nil {
			// The shops are stored; commands are slower until autovacuum comes.
			c.notef("rotator: %s", inline(err.Error()))
		}
	}
	return c.reportImport(&r, result, f, err)
}

func (c *cli) openList(ctx context.Context, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(cancellable(ctx, c.stdin)), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read shop list: %w", err)
	}
	c.warnReadable(file)
	return file, nil
}

// secretID is the id of a version of the app's secret; 0 for version 0.
func (c *cli) secretID(ctx context.Context, cmd *cobra.Command, s *store.Store, a store.App, version int) (int64, error) {
	if version == 0 {
		return 0, nil
	}
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil {
		return 0, err
	}
	for _, v := range secrets {
		if v.Version == version {
			return v.ID, nil
		}
	}
	return 0, usagef(cmd, "--secret-version %d: app %s has no such version, see `rotator secret list`", version, a.Name)
}

// rowReader feeds an import and keeps what is wrong with the list.
type rowReader struct {
	from     *shopfile.Reader
	progress *progress
	// begun ends the wait until the list may be read, stored the one after it.
	begun, stored func()
	read, bad     int
	problems      shopfile.Problems
	found         store.Findings
}

var _ iter.Seq2[shopfile.Row, error] = (*rowReader)(nil).rows

// rows yields the good rows; of errors only the one that ends the reading.
func (r *rowReader) rows(yield func(shopfile.Row, error) bool) {
	r.begun()
	for {
		row, err := r.from.Next()
		if errors.Is(err, io.EOF) {
			r.progress.sayf("storing %s…", plural(r.read-r.bad, "shop"))
			r.stored = r.progress.waits("storing %s", plural(r.read-r.bad, "shop"))
			return
		}
		r.read++
		var bad *shopfile.BadRow
		if errors.As(err, &bad) {
			r.bad++
			r.problems.Add(bad.Problems...)
			continue
		}
		if !yield(row, err) || err != nil {
			return
		}
		r.progress.sayf("read %s, %d bad", plural(r.read, "row"), r.bad)
	}
}

// reportImport prints the problems and the summary, and settles the exit code.
func (c *cli) reportImport(r *rowReader, result store.ImportResult, f importFlags, err error) error {
	preview := errors.Is(err, store.ErrPreview)
	if errors.Is(err, store.ErrInDoubt) {
		return exitWith(exitFailed, fmt.Errorf("import shops: %w", err), "import the list again: what is stored already stays as it is")
	}
	if err != nil && !errors.Is(err, errNotStored) && !preview {
		c.printProblems(r.allProblems())
		return fmt.Errorf("import shops, nothing was stored: %w", err)
	}
	problems := r.allProblems()
	c.printProblems(problems)
	c.noteKept(result, f.version)
	sum := importSummary{
		ImportResult: result, Bad: r.bad, Imported: err == nil, DryRun: f.dryRun, Problems: problems.Kept(), preview: preview,
	}
	if sum.Problems == nil {
		sum.Problems = []shopfile.Problem{}
	}
	if printErr := c.printImport(sum); printErr != nil {
		return printErr
	}
	faulty := r.bad > 0 || result.Duplicates+result.Stale > 0
	switch {
	case err != nil && !preview:
		return exitWith(exitFailed, errNotStored, "mend the list, or store the good rows with --skip-bad")
	case faulty:
		return exitWith(exitExceptions, nil, "")
	}
	return nil
}

// allProblems are the bad rows', then the duplicates', then the stale rows'.
func (r *rowReader) allProblems() *shopfile.Problems {
	for _, d := range r.found.Duplicates {
		lines := make([]string, len(d.Lines))
		for i, line := range d.Lines {
			lines[i] = fmt.Sprint(line)
		}
		at := d.Lines[min(1, len(d.Lines)-1)] // the first that is too many
		r.problems.Add(shopfile.Problem{
			Line: at, Domain: d.Domain, Message: "is named more than once: lines " + strings.Join(lines, ", "),
		})
	}
	for _, d := range r.found.Stale {
		r.problems.Add(shopfile.Problem{
			Line: d.Lines[0], Column: "access_token", Domain: d.Domain,
			Message: "was replaced by a rotation: the list is older than that; `rotator shop export` writes the present tokens",
		})
	}
	r.found = store.Findings{}
	return &r.problems
}

func (c *cli) printProblems(p *shopfile.Problems) {
	for _, problem := range p.Kept() {
		c.notef("%s", printable(problem.String()))
	}
	if more := p.Total() - len(p.Kept()); more > 0 {
		c.notef("… and %d more", more)
	}
}

func (c *cli) printImport(s importSummary) error {
	if c.asJSON {
		return c.printJSON(s)
	}
	return c.printFacts(append(storedFacts(s.ImportResult, s.Imported, s.preview), fact{"bad rows", fmt.Sprint(s.Bad)}, fact{"duplicates", fmt.Sprint(s.Duplicates)}, fact{"stale tokens", fmt.Sprint(s.Stale)})...)
}

// noteKept tells that --secret-version was not heeded, and that it need not be.
func (c *cli) noteKept(r store.ImportResult, version int) {
	if r.VersionUnknown > 0 {
		c.notef("--secret-version %d is stored with new tokens only: %s of the list with the token that is stored keep an unknown version. Every rotation exchanges them, which is safe; there is nothing to do.", version, plural(r.VersionUnknown, "shop"))
	}
	if r.VersionOther > 0 {
		c.notef("--secret-version %d is stored with new tokens only: %s of the list with the token that is stored keep another version; `rotator shop list` shows it.", version, plural(r.VersionOther, "shop"))
	}
}

// storedFacts tell what became of the good rows of an import, or would.
func storedFacts(r store.ImportResult, imported, preview bool) []fact {
	facts := []fact{{"good rows", fmt.Sprint(r.Rows)}}
	would := ""
	if !imported {
		facts = append(facts, fact{"stored", "nothing"})
		would = "would be "
	}
	if !imported && !preview {
		return facts
	}
	return append(facts, fact{would + "added", fmt.Sprint(r.Added)}, fact{would + "updated", fmt.Sprint(r.Updated)}, fact{would + "unchanged", fmt.Sprint(r.Unchanged)})
}
