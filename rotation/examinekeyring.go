package rotation

import (
	"fmt"
	"time"
)

// KeyringState is what became of opening the keyring on this machine.
type KeyringState string

const (
	// KeyringFine: it opens the database's canary, or nothing is sealed yet.
	KeyringFine KeyringState = ""
	// KeyringMissing: there is no file.
	KeyringMissing KeyringState = "missing"
	// KeyringExposed: others than its owner can reach the file.
	KeyringExposed KeyringState = "exposed"
	// KeyringNoFile: there is something else in its place, a folder say.
	KeyringNoFile KeyringState = "no_file"
	// KeyringDamaged: the file cannot be read as a keyring.
	KeyringDamaged KeyringState = "damaged"
	// KeyringForeign: it is not the one that sealed the database.
	KeyringForeign KeyringState = "foreign"
)

// KeyringFacts is what is known of the keyring.
type KeyringFacts struct {
	Path  string
	State KeyringState
	// Sealed tells that the database holds values that only its keyring opens.
	Sealed bool
	// CopyAt is when a copy was last seen to open the database, zero for never;
	// rotator sees no copy by itself.
	CopyAt time.Time
}

// ExamineKeyring judges the keyring. due tells that it is about to be needed: a
// run is open, or a secret is old enough for one. Without a keyring nothing can
// be exchanged, and the tokens of a finished rotation are lost for good with the
// only copy of it.
func ExamineKeyring(k KeyringFacts, due bool) []Finding {
	critical := func(next, format string, args ...any) []Finding {
		return []Finding{{Code: CodeKeyring, Severity: SeverityCritical, Words: fmt.Sprintf(format, args...), Next: next}}
	}
	const look = "rotator doctor"
	switch k.State {
	case KeyringMissing:
		if !k.Sealed {
			return nil
		}
		words := "the keyring %s is missing on this machine, and what the database holds is sealed with it: restore it from its copy"
		if due {
			words += "; it is about to be needed"
		}
		return critical(look, words, k.Path)
	case KeyringExposed:
		return critical("chmod 600 "+k.Path, "the keyring %s can be read by others: who has it and the database has every token; close it, and think of it as leaked", k.Path)
	case KeyringNoFile:
		return critical(look, "the keyring %s is no file: point ROTATOR_KEYRING at the file itself", k.Path)
	case KeyringDamaged:
		return critical(look, "the keyring %s cannot be read: restore it from its copy", k.Path)
	case KeyringForeign:
		return critical(look, "the keyring %s is not the one that sealed this database: point ROTATOR_KEYRING at the right file", k.Path)
	}
	if due && k.Sealed && k.CopyAt.IsZero() {
		return []Finding{{
			Code: CodeKeyringCopy, Severity: SeverityWarning, Next: "rotator keyring verify COPY",
			Words: "a rotation is open or due, and no second copy of the keyring was ever confirmed: without one a lost file is the loss of every token",
		}}
	}
	return nil
}

// RotationDue reports whether the app is about to need its keyring: a run is
// open, or its secret is old enough to be told.
func (f AppFacts) RotationDue(p Policy) bool {
	return f.Run != nil || !f.SecretAt.IsZero() && f.Now.Sub(f.SecretAt) >= p.WarnAge
}

// ExamineClocks judges how far clocks are from this machine's; a clock that was
// not read is nil.
func ExamineClocks(p Policy, database, platform *time.Duration) []Finding {
	var found []Finding
	for _, c := range []struct {
		whose string
		off   *time.Duration
	}{{"the database's clock", database}, {"the platform's clock", platform}} {
		if c.off == nil || c.off.Abs() <= p.Skew {
			continue
		}
		found = append(found, Finding{
			Code: CodeClock, Severity: SeverityWarning, Next: "rotator doctor",
			Words: fmt.Sprintf("%s is %s from this machine's: the window is counted by the database's, set the clocks by NTP", c.whose, c.off.Round(time.Second).Abs()),
		})
	}
	return found
}
