package operate

import (
	"context"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Few and many shops are asked whether tokens of a kind live: a few of which none does
// may have left by themselves.
const askedFew, askedMany = 5, 25

// Answers counts what some shops said of one kind of token: that it lives or is
// refused, or that they are gone, which says nothing of the others.
type Answers struct{ Asked, Alive, Refused, Gone int }

// Dead reports that none lives, and some are refused.
func (a Answers) Dead() bool { return a.Alive == 0 && a.Refused > 0 }

// Unclear reports that shops were asked that could tell, and none did.
func (a Answers) Unclear() bool { return a.Asked > a.Gone && a.Alive+a.Refused == 0 }

func (a Answers) plus(b Answers) Answers {
	return Answers{a.Asked + b.Asked, a.Alive + b.Alive, a.Refused + b.Refused, a.Gone + b.Gone}
}

func askLiving(ctx context.Context, client Identifier, tokens []store.Token) (a Answers, err error) {
	p := Plan{Sampled: map[string]int{}}
	if _, err := p.ask(ctx, client, tokens); err != nil {
		return a, err
	}
	for class, n := range p.Sampled {
		a.Asked += n
		switch class := rotation.Class(class); {
		case class == "alive", class == rotation.ClassScope:
			a.Alive += n
		case class == rotation.ClassUnauthorized:
			a.Refused += n
		case class.ShopIsGone():
			a.Gone += n
		}
	}
	return a, nil
}

// askMore asks a few shops and, if none of their tokens is seen to live, many.
func askMore(ctx context.Context, client Identifier, sample func(n int) ([]store.Token, error)) (a Answers, err error) {
	for _, n := range []int{askedFew, askedMany} {
		tokens, err := sample(n)
		if err != nil {
			return a, err
		}
		if a, err = askLiving(ctx, client, tokens); err != nil || a.Alive > 0 || len(tokens) < n {
			return a, err
		}
	}
	return a, nil
}

// AskRevoked asks a few shops under the token that the run's revoke was to kill.
func AskRevoked(ctx context.Context, s *store.Store, client Identifier, run store.Run) (Answers, error) {
	tokens, err := s.SampleBut(ctx, run.AppID, run.NewSecretID, askedFew)
	if err != nil {
		return Answers{}, err
	}
	return askLiving(ctx, client, tokens)
}

// AskMany asks many shops under the tokens of the run's new secret.
func AskMany(ctx context.Context, s *store.Store, client Identifier, run store.Run) (Answers, error) {
	tokens, err := s.SampleOf(ctx, run.AppID, run.NewSecretID, askedMany)
	if err != nil {
		return Answers{}, err
	}
	return askLiving(ctx, client, tokens)
}

// AskNew asks some shops under the tokens of the run's new secret, before the old ones
// may die; and, where none of these lives, under those of the old one that this run, or
// one before it that was cancelled, replaced by them.
func AskNew(ctx context.Context, s *store.Store, client Identifier, run store.Run) (fresh, former Answers, err error) {
	fresh, err = askMore(ctx, client, func(n int) ([]store.Token, error) { return s.SampleOf(ctx, run.AppID, run.NewSecretID, n) })
	if err != nil || !fresh.Dead() {
		return fresh, former, err
	}
	tokens, err := s.SampleFormer(ctx, run.AppID, run.NewSecretID, run.OldSecretID, askedMany)
	if err == nil {
		former, err = askLiving(ctx, client, tokens)
	}
	return fresh, former, err
}

// Kinds is what some shops answered under tokens of the app's active secret, under
// others that shops have, and under those of the retiring one that runs replaced by
// tokens of the active one.
type Kinds struct{ Active, Others, Former Answers }

// Before is of all that are not of the active secret.
func (k Kinds) Before() Answers { return k.Others.plus(k.Former) }

// Unclear reports that nothing was seen of the tokens before, or, where none of these
// lives, of the active secret's.
func (k Kinds) Unclear() bool {
	return k.Before().Unclear() || k.Before().Alive == 0 && k.Active.Unclear()
}

// AskKinds asks some shops under each kind of token.
func AskKinds(ctx context.Context, s *store.Store, client Identifier, app store.App, active, retiring store.Secret) (seen Kinds, err error) {
	for _, kind := range []struct {
		to     *Answers
		sample func(n int) ([]store.Token, error)
	}{
		{&seen.Active, func(n int) ([]store.Token, error) { return s.SampleOf(ctx, app.ID, active.ID, n) }},
		{&seen.Others, func(n int) ([]store.Token, error) { return s.SampleBut(ctx, app.ID, active.ID, n) }},
		{&seen.Former, func(n int) ([]store.Token, error) {
			return s.SampleFormer(ctx, app.ID, active.ID, retiring.ID, n)
		}},
	} {
		if *kind.to, err = askMore(ctx, client, kind.sample); err != nil {
			return seen, err
		}
	}
	return seen, nil
}
