package rotation

import "fmt"

// WrongSecretRevoked reports whether the check after the revoke has shown, at its end,
// that the new secret died, and not the old one: then the old tokens are the only ones
// that work, and the run can be cancelled again. Shops that are gone answer to neither,
// and an install may be of the old secret: both say nothing. Single shops may differ.
func WrongSecretRevoked(s Snapshot) bool {
	r := s.Revocation
	return s.Kind == KindRotation && s.Mode != ModeBreach && s.Phase == PhaseRevoked && r.Done() && r.looksWrong()
}

// looksWrong is what WrongSecretRevoked goes by, of what was seen so far.
func (r Revocation) looksWrong() bool { return r.OnlyOld > r.NewKnown }

// RevokeNothingMore warns of the one step that would leave every shop without a token.
const RevokeNothingMore = "revoke nothing more, since the old tokens are the only ones that work"

func nextWrongRevoke(s Snapshot) Step {
	r, cancel := s.Revocation, "cancel --confirm "+s.App
	return human(s, cancel, fmt.Sprintf("%s dead and %s: the new secret, version %d, was revoked instead of the old one: "+
		"%s. Make the app use the old secret again, and its former tokens if it has them; then `%s`, and %s",
		Counted(r.NewDead, "new token", "is", "are"), Counted(r.OldAlive, "old one", "answers", "answer"), s.NewSecret, RevokeNothingMore, command(s, cancel), AfterLoss(s)))
}

// AfterLoss is what follows a cancel when the new secret is dead.
func AfterLoss(s Snapshot) string {
	return fmt.Sprintf("`rotator secret discard %d --lost --confirm %s`, `rotator secret add` with another new secret, and `%s`: every shop is exchanged", s.NewSecret, s.App, command(s, "start"))
}

// oldSecret names the secret that is to be revoked: next to it lives one that must not be.
func oldSecret(s Snapshot) string {
	if s.OldSecret == 0 {
		return "the old secret"
	}
	return fmt.Sprintf("the old secret, version %d,", s.OldSecret)
}

// whichRevoked is asked where old tokens answer after the revoke.
func whichRevoked(s Snapshot) string {
	if WrongSecretRevoked(s) {
		return RevokeNothingMore
	}
	return "is the old secret revoked?"
}
