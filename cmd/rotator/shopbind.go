package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// bindFlags are the flags of `shop bind`.
type bindFlags struct {
	table, codec                 string
	binding                      store.Binding
	createColumn, dryRun, remove bool
}

func newShopBind(c *cli) *cobra.Command {
	var f bindFlags
	cmd := &cobra.Command{
		Use: "bind [--table SCHEMA.TABLE --key COL --domain COL --access-token COL]", Short: "Work on the app's own table of shops",
		Long: `Say in which table of this database the app keeps its shops. Runs then read the
shops from there, and a swap writes the new token into the shop's row in the same
transaction, if the row still holds the token that is replaced.

The table is held against the catalogue first: every problem is told at once, with
the statements that give missing rights, and nothing is bound as long as there is
one. rotator needs select on the columns that it reads and update on those that
hold tokens. Names are spelled as the catalogue has them, capitals included.

A row's token is in the --oauth-token column, or where that is empty in the
--access-token column; a new one goes where the old one was. --where leaves rows
out, in SQL. With --codec sealed tokens are sealed with the keyring, for apps that
read them through rotator shop export.

--create-column adds the --oauth-token column (default oauth_token): nullable,
without rewriting the table, and not waiting for others longer than a second. The
statement is shown first. With --dry-run nothing is changed.

Without --table the binding is shown; --remove forgets it.

JSON: one object {app, binding, bound, dry_run, rows, problems [text],
warnings [text], grants [statement], create_column, reading}; binding is null
without one, and reading is what rotator shop import --bound would find.`,
		Example: `  rotator shop bind --table public.shops --key id --domain shop --access-token access_token --dry-run
  rotator shop bind --table public.shops --key id --domain shop --access-token access_token --where 'uninstalled_at is null'
  rotator shop bind --table public.shops --key id --domain shop --legacy-token token --oauth-token oauth_token --create-column
  rotator shop bind --json
  rotator shop bind --remove`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.bind(cmd.Context(), cmd, f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.table, "table", "", "SCHEMA.TABLE")
	fs.StringVar(&f.binding.Key, "key", "", "column that names a row: unique, not null")
	fs.StringVar(&f.binding.Domain, "domain", "", "column with the shop's domain, in any spelling")
	fs.StringVar(&f.binding.Access, "access-token", "", "column with the access token")
	fs.StringVar(&f.binding.Legacy, "legacy-token", "", "column with the legacy token")
	fs.StringVar(&f.binding.OAuth, "oauth-token", "", "column with the OAuth token; it counts before --access-token")
	fs.StringVar(&f.binding.Where, "where", "", "condition on the rows, in SQL (default: all rows)")
	fs.StringVar(&f.codec, "codec", "plain", "how tokens are held: plain or sealed")
	fs.BoolVar(&f.createColumn, "create-column", false, "add the --oauth-token column if it is missing")
	fs.BoolVar(&f.dryRun, "dry-run", false, "check, and change nothing")
	fs.BoolVar(&f.remove, "remove", false, "forget the binding")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

// bindAnswer is the answer of `shop bind`.
type bindAnswer struct {
	App     string         `json:"app"`
	Binding *store.Binding `json:"binding"`
	Bound   bool           `json:"bound"`
	DryRun  bool           `json:"dry_run"`
	store.BoundCheck
	Reading *store.BoundReading `json:"reading,omitempty"`
}

func (c *cli) bind(ctx context.Context, cmd *cobra.Command, f bindFlags) error {
	if f.table == "" {
		for _, name := range []string{"key", "domain", "access-token", "legacy-token", "oauth-token", "where", "codec", "create-column", "dry-run"} {
			if cmd.Flags().Changed(name) {
				return usagef(cmd, "--%s goes with --table SCHEMA.TABLE", name)
			}
		}
	} else if err := f.complete(cmd); err != nil {
		return err
	}
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case f.remove:
		return c.unbind(ctx, s, a)
	case f.table == "":
		return c.showBinding(ctx, s, a)
	}
	return c.bindTable(ctx, s, a, f)
}

// complete makes a binding of the flags and tells all that is wrong with them.
func (f *bindFlags) complete(cmd *cobra.Command) error {
	var wrong []string
	var ok bool
	if f.binding.Schema, f.binding.Table, ok = tableName(f.table); !ok {
		wrong = append(wrong, "--table "+quoted(f.table)+": write SCHEMA.TABLE, such as public.shops")
	}
	for _, c := range []struct{ name, value string }{{"key", f.binding.Key}, {"domain", f.binding.Domain}} {
		if c.value == "" {
			wrong = append(wrong, "--"+c.name+" is needed: name the column")
		}
	}
	switch f.binding.Codec = store.Codec(f.codec); f.binding.Codec {
	case store.CodecPlain, store.CodecSealed:
	default:
		wrong = append(wrong, "--codec "+quoted(f.codec)+": use plain or sealed")
	}
	if f.createColumn && f.binding.OAuth == "" {
		f.binding.OAuth = "oauth_token"
	}
	if f.binding.Access == "" && f.binding.OAuth == "" {
		wrong = append(wrong, "--access-token or --oauth-token is needed: name the column that the app's tokens are in")
	}
	if f.remove {
		wrong = append(wrong, "--remove goes without --table")
	}
	if wrong != nil {
		return usagef(cmd, "%s", strings.Join(wrong, "\n"))
	}
	return nil
}

// tableName cuts SCHEMA.TABLE, each part in double quotes or not.
func tableName(name string) (schema, table string, ok bool) {
	var parts []string
	for rest := name; ; {
		var part string
		if quotedPart, after, found := cutQuoted(rest); found {
			part, rest = quotedPart, after
		} else if i := strings.IndexByte(rest, '.'); i >= 0 {
			part, rest = rest[:i], rest[i:]
		} else {
			part, rest = rest, ""
		}
		if parts = append(parts, part); part == "" || rest == "" {
			break
		}
		if rest[0] != '.' {
			return "", "", false
		}
		rest = rest[1:]
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// cutQuoted takes a name in double quotes, doubled inside, off the front.
func cutQuoted(s string) (name, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '"':
		case i+1 < len(s) && s[i+1] == '"':
			i++
		default:
			return strings.ReplaceAll(s[1:i], `""`, `"`), s[i+1:], true
		}
	}
	return "", "", false
}

func (c *cli) unbind(ctx context.Context, s *store.Store, a store.App) error {
	b, err := s.Binding(ctx, a.ID)
	if err == nil {
		err = s.Unbind(ctx, c.actor, a)
	}
	if errors.Is(err, store.ErrNotBound) {
		return exitWith(exitFailed, fmt.Errorf("app %s: %w", a.Name, err), "")
	}
	if err != nil {
		return err
	}
	run, open, err := openRunOf(ctx, s, a)
	if err != nil {
		return err
	}
	if open {
		export := fmt.Sprintf("`rotator shop export --changed-since %d`", run.ID)
		if run.Kind == rotation.KindTokenMigration {
			export = "`rotator shop export --derived`"
		}
		c.notef("Run %d is open and goes on without %s: give the app its new tokens with %s.", run.ID, printable(b.Name()), c.words.text(export))
	}
	if c.asJSON {
		return c.printJSON(bindAnswer{App: a.Name, BoundCheck: noCheck()})
	}
	return c.printf("%s is not bound any more. It keeps its tokens, and rotator its shops.\n", printable(b.Name()))
}

// openRunOf finds the app's open run.
func openRunOf(ctx context.Context, s *store.Store, a store.App) (run store.Run, open bool, err error) {
	runs, err := s.OpenRuns(ctx)
	if err != nil {
		return run, false, err
	}
	for _, r := range runs {
		if r.AppID == a.ID {
			return r, true, nil
		}
	}
	return run, false, nil
}

func noCheck() store.BoundCheck {
	return store.BoundCheck{Problems: []string{}, Warnings: []string{}, Grants: []string{}}
}
