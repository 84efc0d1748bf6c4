package operate

import (
	"context"
	"errors"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Cancel ends the run where it stands. In a rotation swapped tokens stay, and
// with them both secrets, and a later run takes up the rest; of a token migration
// nothing stays.
func (o Operator) Cancel(ctx context.Context, runID int64, confirmed string) error {
	return o.cancel(ctx, runID, confirmed, false)
}

// CancelWrongRevoke is Cancel also of a run whose check has shown that the new secret
// was revoked instead of the old one, by a caller who has asked whether new tokens live.
func (o Operator) CancelWrongRevoke(ctx context.Context, runID int64, confirmed string) error {
	return o.cancel(ctx, runID, confirmed, true)
}

func (o Operator) cancel(ctx context.Context, runID int64, confirmed string, asked bool) error {
	if err := o.clearRowsFirst(ctx, runID, confirmed); err != nil {
		return err
	}
	return o.onOpen(ctx, runID, "cancel", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		if err := mayCancel(snap, confirmed, asked); err != nil {
			return err
		}
		if rotation.WrongSecretRevoked(snap) {
			if err := tx.Unrevoke(ctx, o.Actor, run); err != nil {
				return err
			}
		}
		err := tx.Cancel(ctx, o.Actor, run)
		var beside *store.PendingError
		if errors.As(err, &beside) {
			return refuse("cancel", fmt.Sprintf("the run's new secret, version %d, would be pending again, and version %d is: give that one up first with `rotator secret discard %d --confirm %s`",
				snap.NewSecret, beside.Version, beside.Version, snap.App), snap)
		}
		return err
	})
}

func mayCancel(snap rotation.Snapshot, confirmed string, asked bool) error {
	switch {
	case TooLateToCancel(snap) != "":
		return refuse("cancel", TooLateToCancel(snap), snap)
	case confirmed != snap.App:
		return refuse("cancel", fmt.Sprintf("%s; repeat the app's name with --confirm %s", Leaves(snap), snap.App), snap)
	case rotation.WrongSecretRevoked(snap) && !asked:
		return refuse("cancel", "the check after the revoke has just shown that the new secret was revoked instead of the old one: say it again", snap)
	}
	return nil
}

// TooLateToCancel says why a run can only be finished; "" while it can be
// cancelled.
func TooLateToCancel(s rotation.Snapshot) string {
	switch {
	case s.Kind == rotation.KindTokenMigration && !s.Phase.Before(rotation.PhaseCutover):
		return "the app is switched to OAuth, and there is no way back: the run can only be finished"
	case rotation.WrongSecretRevoked(s):
		return ""
	case s.Kind == rotation.KindRotation && rotation.Irrevocable(s.Mode, s.Phase):
		return MustFinish(s)
	}
	return ""
}

// Leaves says what a cancelled run leaves behind.
func Leaves(s rotation.Snapshot) string {
	if s.Kind == rotation.KindTokenMigration {
		return rotation.Counted(s.Counts.Exchanged, "derived token", "is", "are") + " cleared; legacy tokens, access tokens and everything else stay as they are"
	}
	unproven := ""
	if n := s.Counts.Exchanged; n > 0 {
		unproven = verb(n, "gets", "get") + " a new one that is not proven yet, "
	}
	words := rotation.SecretsLeft(s)
	if words != "" {
		words = "; " + words
	}
	if rotation.WrongSecretRevoked(s) {
		return rotation.Counted(s.Counts.Proven+s.Counts.Exchanged, "shop", "keeps its", "keep their") + " new token, which is dead" + words
	}
	if s.Counts.Total == 0 { // not walked yet
		return "every shop keeps the token that it has" + words
	}
	return fmt.Sprintf("%s new, proven token, %s%s the old one%s",
		rotation.Counted(s.Counts.Proven, "shop", "keeps its", "keep their"), unproven, verb(s.Counts.Total-s.Counts.Proven-s.Counts.Exchanged, "keeps", "keep"), words)
}

// verb is a number with the verb that goes with it.
func verb(n int, one, more string) string {
	if n == 1 {
		more = one
	}
	return fmt.Sprintf("%d %s", n, more)
}
