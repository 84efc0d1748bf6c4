package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// BindingReader checks the app's own table, if it has one bound.
type BindingReader interface {
	Binding(ctx context.Context, appID int64) (store.Binding, error)
	CheckBinding(ctx context.Context, b store.Binding, create bool) (store.BoundCheck, error)
}

// unfitBinding says why a token migration cannot work on the app's own table, ""
// if it can, or if there is none.
func unfitBinding(ctx context.Context, r BindingReader, appID int64) (string, error) {
	b, err := r.Binding(ctx, appID)
	if errors.Is(err, store.ErrNotBound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if b.OAuth == "" {
		return fmt.Sprintf("the bound table %s has no column for derived tokens: bind it again with %s", b.Name(), bindAgain(b)), nil
	}
	check, err := r.CheckBinding(ctx, b, false)
	if err != nil || len(check.Problems) == 0 {
		return "", err
	}
	why := fmt.Sprintf("the bound table %s is not in order: %s", b.Name(), strings.Join(check.Problems, "; "))
	if len(check.Grants) > 0 {
		why += "; let its owner run: " + strings.Join(check.Grants, "; ")
	}
	return why, nil
}

// bindAgain is the command that adds an OAuth column to a binding.
func bindAgain(b store.Binding) string {
	return bindCommand(b, "--oauth-token oauth_token --create-column")
}

// bindWithoutLegacy is the command that takes the legacy column out of a binding.
func bindWithoutLegacy(b store.Binding) string {
	b.Legacy = ""
	return bindCommand(b, "--oauth-token "+word(b.OAuth))
}

// bindCommand is the command that makes the binding, with what is said of its
// OAuth column.
func bindCommand(b store.Binding, oauth string) string {
	words := []string{"`rotator shop bind --table " + word(b.Name()), "--key " + word(b.Key), "--domain " + word(b.Domain)}
	for _, c := range []struct{ flag, name string }{{"--access-token", b.Access}, {"--legacy-token", b.Legacy}} {
		if c.name != "" {
			words = append(words, c.flag+" "+word(c.name))
		}
	}
	words = append(words, oauth)
	if b.Where != "" {
		words = append(words, "--where "+word(b.Where))
	}
	if b.Codec != store.CodecPlain {
		words = append(words, "--codec "+string(b.Codec))
	}
	return strings.Join(words, " ") + "`"
}

// word is s as one word of a shell.
func word(s string) string {
	plain := func(c rune) bool {
		return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	if strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// clearRowsFirst takes the derived tokens of a token migration out of the app's
// own table before it is cancelled. The run is held meanwhile; killed in between,
// the cancel is said again.
func (o Operator) clearRowsFirst(ctx context.Context, runID int64, confirmed string) error {
	var run store.Run
	var bound bool
	err := o.inRun(ctx, runID, store.Uncounted, func(tx *store.Tx, snap rotation.Snapshot, r store.Run) (err error) {
		if run = r; !r.Open() || r.Kind != rotation.KindTokenMigration {
			return nil
		}
		if err := mayCancel(snap, confirmed, false); err != nil {
			return err
		}
		bound, err = tx.HoldToCancel(ctx, o.Actor, r)
		return err
	})
	if err != nil || !bound {
		return err
	}
	left, err := o.Store.ClearDerivedRows(ctx, run)
	var fault *store.BoundFault
	switch {
	case errors.As(err, &fault):
		return &Refused{What: "cancel", Why: "the derived tokens cannot be taken out of the app's table: " + fault.Error() +
			"; the run is held: mend that and say it again, or forget the table with `rotator shop bind --remove`, which leaves them there"}
	case err != nil:
		return err
	case left > 0:
		return &Refused{What: "cancel", Why: fmt.Sprintf("%s in the app's table with its derived token, locked by other transactions; the run is held: say it again", rotation.Counted(left, "row", "is", "are"))}
	}
	return nil
}

// legacyColumn is what a scrub does to the app's own table.
type legacyColumn struct {
	binding store.Binding
	// words are for the certificate; "" when no column is bound.
	words string
}

// legacyColumn refuses a scrub whose table is not in order, before anything is
// removed.
func (o Operator) legacyColumn(ctx context.Context, appID int64, drop bool) (c legacyColumn, err error) {
	const what = "confirm scrubbed"
	c.binding, err = o.Store.Binding(ctx, appID)
	if err != nil && !errors.Is(err, store.ErrNotBound) {
		return c, err
	}
	if c.binding.Legacy == "" {
		if drop {
			return c, &Refused{What: what, Why: "no legacy column is bound: there is nothing to drop"}
		}
		return c, nil
	}
	why, err := unfitBinding(ctx, o.Store, appID)
	if err == nil && why == "" && drop {
		if why, err = o.Store.MayDropLegacy(ctx, c.binding); why != "" {
			why += "; and then bind the table without it, or the next run is held: " + bindWithoutLegacy(c.binding)
		}
	}
	if err != nil {
		return c, err
	}
	if why != "" {
		return c, &Refused{What: what, Why: why}
	}
	c.words = fmt.Sprintf("%s.%s was emptied", c.binding.Name(), c.binding.Legacy)
	if drop {
		c.words = "dropped: " + c.binding.DropLegacyStatement()
	}
	return c, nil
}

// DropStatement is what ConfirmScrubbed runs when it is to drop the legacy
// column, to be shown first; "" when none is bound.
func (o Operator) DropStatement(ctx context.Context, appID int64) (string, error) {
	b, err := o.Store.Binding(ctx, appID)
	if errors.Is(err, store.ErrNotBound) || err == nil && b.Legacy == "" {
		return "", nil
	}
	return b.DropLegacyStatement(), err
}
