package jobs

import (
	"context"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/store"
)

// credentials are what an exchange is made with.
type credentials struct {
	secret, refresh secret.String
	accepted
}

// credentials unseals the new secret and the newest refresh token, once each.
func (r *runState) credentials(ctx context.Context, s *store.Store) (credentials, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.control
	if r.secretID != c.NewSecretID {
		v, err := s.SecretValue(ctx, c.NewSecretID)
		if err != nil {
			return credentials{}, err
		}
		r.secret, r.secretID = v, c.NewSecretID
	}
	if r.refreshID != c.RefreshTokenID {
		v, err := s.RefreshTokenValue(ctx, c.RefreshTokenID)
		if err != nil {
			return credentials{}, err
		}
		r.refresh, r.refreshID = v, c.RefreshTokenID
	}
	return credentials{secret: r.secret, refresh: r.refresh, accepted: accepted{r.secretID, r.refreshID}}, nil
}
