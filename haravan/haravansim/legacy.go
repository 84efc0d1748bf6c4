package haravansim

import (
	"crypto/md5"
	"slices"
	"strings"
)

// The first Options.Legacy shops of the fleet are known to the app by a legacy
// token, every tenth of them by the legacy password instead. Until the app's
// panel is switched to OAuth, or a test app was made, no shop of theirs takes
// the OAuth token that follows from it (Haravan, "Migrating an App from Legacy
// to OAuth Authentication").

// passwordEvery tells which legacy shops store the password.
const passwordEvery = 10

// firstSecret is the one that was current when the legacy tokens were issued.
const firstSecret = 1

// derivedScopes are granted by the transition; write_x covers read_x.
var derivedScopes = []string{
	"write_content", "write_themes", "write_products", "write_customers",
	"write_orders", "write_script_tags", "write_shipping",
}

// installedScopes are what a merchant who authorizes grants.
var installedScopes = append(slices.Clone(derivedScopes), "read_shop")

// How the two are written in an answer.
var (
	derivedScope   = strings.Join(derivedScopes, ",")
	installedScope = strings.Join(installedScopes, ",")
)

// isLegacy reports whether the app knew the shop by a legacy credential.
func (s *Sim) isLegacy(r ref) bool { return r.index < s.opts.Legacy }

// legacyCredential is what the app stores for the shop.
func (s *Sim) legacyCredential(r ref) (credential string, password bool) {
	return newValue(r.key, saltLegacy, 0, 0).String(), r.index%passwordEvery == passwordEvery-1
}

// derived is the OAuth token that follows from the shop's legacy credential: the
// password itself, or the MD5 sum of the secret followed by the token.
func (s *Sim) derived(r ref) value {
	credential, password := s.legacyCredential(r)
	if password {
		v, _ := parseValue(credential) // made by value.String
		return v
	}
	first := s.creds.book.Load().secrets[firstSecret-1].Value
	return md5.Sum([]byte(first + credential))
}

// describeLegacy fills in what concerns a legacy shop. The caller holds its lock.
func (s *Sim) describeLegacy(r ref, sh *shop, out *Shop) {
	credential, password := s.legacyCredential(r)
	if password {
		out.LegacyPassword = credential
	} else {
		out.LegacyToken = credential
	}
	out.DerivedAlive = s.opens(r, sh, 0)
}

// Panel is how the app stands in the Partners dashboard.
type Panel struct {
	// Legacy is how many shops the app knew by legacy credentials.
	Legacy int `json:"legacy"`
	// OAuth tells that the panel was switched; TestApp that another app, which
	// uses OAuth, was made to try derived tokens with.
	OAuth   bool `json:"oauth"`
	TestApp bool `json:"test_app"`
}

// Panel returns it. An app without legacy shops used OAuth from its beginning.
func (s *Sim) Panel() Panel {
	b := s.creds.book.Load()
	return Panel{Legacy: s.opts.Legacy, OAuth: b.oauth, TestApp: b.testApp}
}

// SwitchToOAuth switches the app's panel: derived tokens are taken from now on.
// There is no way back.
func (s *Sim) SwitchToOAuth() Panel {
	return s.changePanel("panel switched to OAuth", func(b *book) { b.oauth = true })
}

// CreateTestApp makes an app to try derived tokens with before the switch.
func (s *Sim) CreateTestApp() Panel {
	return s.changePanel("test app created", func(b *book) { b.testApp = true })
}

func (s *Sim) changePanel(what string, change func(*book)) Panel {
	_ = s.changeBook(func(b *book) error { change(b); return nil }) // cannot fail: the change returns nil
	s.log.Info(what)
	return s.Panel()
}

// takesDerived reports whether derived tokens are accepted by now.
func (b *book) takesDerived() bool { return b.oauth || b.testApp }

// TokenScopes returns what the token may do, nil if the shop never had it.
func (s *Sim) TokenScopes(domain, accessToken string) []string {
	t, _ := s.token(domain, accessToken)
	if t.version == 0 {
		return nil
	}
	return slices.Clone(t.scopes())
}

func (t token) scopes() []string {
	if t.derived {
		return derivedScopes
	}
	return installedScopes
}

// scope is scopes as an answer has it.
func (t token) scope() string {
	if t.derived {
		return derivedScope
	}
	return installedScope
}
