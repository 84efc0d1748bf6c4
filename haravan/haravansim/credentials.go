package haravansim

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Secret is one version of the app's shared secret.
type Secret struct {
	// Version counts from 1, which is there from the start.
	Version int `json:"version"`
	// Value is what the app presents.
	Value     string    `json:"value"`
	CreatedAt time.Time `json:"created_at"`
	// RevokedAt is zero while the secret is live; DiesAt is when the revoke
	// bites: Knobs.RevokeDelay later.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	DiesAt    time.Time `json:"dies_at,omitzero"`
}

// RefreshToken is the app-wide credential of "API Credential Rotation", step 4.
type RefreshToken struct {
	Value     string    `json:"value"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// Foreign marks a refresh token that belongs to another app.
	Foreign bool `json:"foreign,omitempty"`
}

type refreshToken struct {
	RefreshToken
	serial  uint32 // counts from 1; what a shop remembers of its last use
	revoked bool
	used    *atomic.Bool // for Knobs.RefreshTokenUses "once"
}

// credentials is what every call reads: an immutable book behind an atomic
// pointer, copied by the few dashboard actions that change it.
type credentials struct {
	mu   sync.Mutex // serialises writers
	book atomic.Pointer[book]
}

type book struct {
	secrets []Secret // version v is at v-1
	byValue map[string]int
	refresh map[string]refreshToken
	// oauth and testApp are the app's Panel.
	oauth, testApp bool
}

func (b *book) clone() *book {
	next := *b
	next.secrets, next.byValue, next.refresh = slices.Clone(b.secrets), maps.Clone(b.byValue), maps.Clone(b.refresh)
	return &next
}

// dead reports whether the version's revoke has bitten.
func (b *book) dead(version uint32, now time.Time) bool {
	s := &b.secrets[version-1]
	return !s.DiesAt.IsZero() && !now.Before(s.DiesAt)
}

// newest is the highest version not revoked, 0 if there is none.
func (b *book) newest() uint32 {
	for i := len(b.secrets) - 1; i >= 0; i-- {
		if b.secrets[i].RevokedAt.IsZero() {
			return uint32(i + 1)
		}
	}
	return 0
}

func (s *Sim) changeBook(change func(*book) error) error {
	s.creds.mu.Lock()
	defer s.creds.mu.Unlock()
	next := s.creds.book.Load().clone()
	if err := change(next); err != nil {
		return err
	}
	s.creds.book.Store(next)
	return nil
}

// CreateSecret makes the next version of the shared secret ("API Credential
// Rotation", step 1). It fails when Knobs.MaxLiveSecrets are live already.
func (s *Sim) CreateSecret() (Secret, error) {
	var made Secret
	err := s.changeBook(func(b *book) error {
		live := 0
		for _, x := range b.secrets {
			if x.RevokedAt.IsZero() {
				live++
			}
		}
		if limit := s.knobs.Load().MaxLiveSecrets; live >= limit {
			return fmt.Errorf("create secret: %d are live and the app may have %d: revoke one first", live, limit)
		}
		made = s.addSecret(b)
		return nil
	})
	if err == nil {
		s.log.Info("secret created", "version", made.Version)
	}
	return made, err
}

func (s *Sim) addSecret(b *book) Secret {
	version := len(b.secrets) + 1
	made := Secret{
		Version:   version,
		Value:     newValue(s.seed, saltSecret, uint64(version), 0).String(),
		CreatedAt: s.Now(),
	}
	b.secrets = append(b.secrets, made)
	b.byValue[made.Value] = version
	return made
}

// RevokeSecret ends a version and, once the revoke bites, every token that it
// minted (step 6). The last live secret may be revoked too: that is what a
// breach demands.
func (s *Sim) RevokeSecret(version int) (Secret, error) {
	var revoked Secret
	err := s.changeBook(func(b *book) error {
		if version < 1 || version > len(b.secrets) {
			return fmt.Errorf("revoke secret: there is no version %d, versions are 1 to %d", version, len(b.secrets))
		}
		x := &b.secrets[version-1]
		if !x.RevokedAt.IsZero() {
			return fmt.Errorf("revoke secret: version %d was revoked before", version)
		}
		x.RevokedAt = s.Now()
		x.DiesAt = x.RevokedAt.Add(s.knobs.Load().RevokeDelay)
		revoked = *x
		return nil
	})
	if err == nil {
		s.log.Info("secret revoked", "version", version, "dies_at", revoked.DiesAt)
	}
	return revoked, err
}

// Secrets lists every version, oldest first, revoked ones included.
func (s *Sim) Secrets() []Secret { return slices.Clone(s.creds.book.Load().secrets) }

// CreateRefreshToken makes a refresh token for every shop of the app.
func (s *Sim) CreateRefreshToken() RefreshToken { return s.addRefreshToken(false) }

// CreateForeignRefreshToken makes one that belongs to another app, as an
// operator with two dashboards open would paste.
func (s *Sim) CreateForeignRefreshToken() RefreshToken { return s.addRefreshToken(true) }

func (s *Sim) addRefreshToken(foreign bool) RefreshToken {
	var made RefreshToken
	_ = s.changeBook(func(b *book) error { // cannot fail: the change returns nil
		serial := len(b.refresh) + 1
		now := s.Now()
		made = RefreshToken{
			Value:     newValue(s.seed, saltRefresh, uint64(serial), 0).String(),
			CreatedAt: now,
			ExpiresAt: now.Add(s.knobs.Load().RefreshTokenLife),
			Foreign:   foreign,
		}
		b.refresh[made.Value] = refreshToken{RefreshToken: made, serial: uint32(serial), used: new(atomic.Bool)}
		return nil
	})
	s.log.Info("refresh token created", "expires_at", made.ExpiresAt, "foreign", foreign)
	return made
}

// RevokeRefreshToken deletes a refresh token before its time.
func (s *Sim) RevokeRefreshToken(value string) error {
	return s.changeBook(func(b *book) error {
		r, ok := b.refresh[value]
		if !ok {
			return fmt.Errorf("revoke refresh token: no such refresh token")
		}
		r.revoked = true
		b.refresh[value] = r
		return nil
	})
}
