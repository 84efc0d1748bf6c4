package rotation

import "fmt"

// SecretsLeft says of which secret the tokens are that a cancelled rotation leaves
// behind; "" if none can be of the new one.
func SecretsLeft(s Snapshot) string {
	const both = "both secrets must stay alive until another rotation has finished"
	c := s.Counts
	// What was sent, and what a person must look at, may have made a token.
	maybe := c.Claimed + c.Unknown + c.Parked + c.Waived
	switch {
	case s.NewSecretGone:
		return ""
	case WrongSecretRevoked(s):
		return RevokeNothingMore + "; " + AfterLoss(s)
	case c.Proven+c.Exchanged > 0:
		return both
	case s.EarlierTokens:
		return "tokens that an earlier run left are of the new secret: " + both
	case maybe > 0:
		return fmt.Sprintf("a new token may have been made for %d of them: %s", maybe, both)
	case !s.Phase.Before(PhaseOAuthSwitched):
		return "the app gets the tokens of new installs with the new secret: keep both alive until it uses the old one again, or another rotation has finished"
	}
	return ""
}

// nextCancelled is the next step after a run that was cancelled.
func nextCancelled(s Snapshot) Step {
	why := "the run was cancelled"
	if s.LaterRun != 0 { // it has taken up what this one left
		return Step{Why: fmt.Sprintf("%s, and run %d was begun since", why, s.LaterRun)}
	}
	if WrongSecretRevoked(s) && !s.NewSecretGone {
		return Step{Command: fmt.Sprintf("rotator secret discard %d --lost --confirm %s", s.NewSecret, s.App), Why: why + "; " + RevokeNothingMore + ": " + AfterLoss(s), Human: true}
	}
	if s.Kind == KindRotation {
		if left := SecretsLeft(s); left != "" {
			why += "; " + left
		}
	}
	return Step{Why: fmt.Sprintf("%s; `%s` begins another", why, command(s, "start"))}
}
