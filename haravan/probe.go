package haravan

import (
	"net/http"
	"slices"
	"strings"

	"github.com/haravan-rotator/rotator/rotation"
)

// Hearing is what the answer to a probing exchange says about its spelling.
type Hearing int

const (
	// HeardSpelling: it speaks against the spelling, or too vaguely to tell:
	// another one may be taken.
	HeardSpelling Hearing = iota
	// HeardShop: it may be the shop's own fate as well; ask the shop.
	HeardShop
	// HeardRefusal: the request was understood and what it carries is refused.
	// No other spelling mends that.
	HeardRefusal
	// HeardNothing: pace, an outage or a lost answer: try again later.
	HeardNothing
)

// Probe looks for the spelling of the exchange that the platform takes. It is
// for one shop and not safe for concurrent use; its Hints outlive it.
//
// Haravan, API Credential Rotation, step 5 contradicts itself about the request
// and says nothing of how a wrong one is answered, so the probe reads answers by
// what they can hardly mean otherwise. "invalid_grant" is about the refresh
// token: the request was read, the spelling is right enough and the probe ends.
// "invalid_client" is what a wrong secret gets and also a secret under a
// parameter's name that is not read, so it ends the probe only when other answers
// tell the two apart (Refused). Everything else that blames the request
// leads to the next spelling, those that share least with the refused ones first.
type Probe struct {
	hints *Hints
	left  []Wire
	// secrets is how each name of the secret was answered, by the encoding.
	secrets map[string]map[string]secretFate
	// absent are paths that were not found: no way for a shop that lives.
	absent  map[string]bool
	lives   bool
	unclear int
	tried   int
	telling *Error
}

// Hints is what probes of earlier shops taught: how often an answer spoke
// against a part of a spelling. The zero Hints knows nothing.
type Hints struct {
	against map[string]int
	// vague is set once a whole probe heard nothing but failures: the next ones
	// do not repeat that storm.
	vague bool
}

// unclearMost bounds the spellings that are tried against an answer of 500, 422
// or a page, which an outage gives too.
const unclearMost = 4

// secretFate is what became of the secret under one of its names.
type secretFate int

const (
	secretRefused secretFate = iota + 1 // invalid_client: wrong, or not read
	secretUnread                        // the platform misses it under that name
)

// NewProbe begins with first, the app's own spelling, and goes on to the
// documented ones.
func NewProbe(first Wire, h *Hints) *Probe {
	if h.against == nil {
		h.against = map[string]int{}
	}
	first = first.filled()
	left := []Wire{first}
	for _, w := range Wires() {
		if w.RejectSame = first.RejectSame; w != first {
			left = append(left, w)
		}
	}
	return &Probe{hints: h, left: left, secrets: map[string]map[string]secretFate{BodyForm: {}, BodyJSON: {}}, absent: map[string]bool{}}
}

// Next is the spelling to try, the one that least speaks against; ok is false
// when the documented ones are used up.
func (p *Probe) Next() (w Wire, ok bool) {
	if p.lives {
		p.left = slices.DeleteFunc(p.left, func(w Wire) bool { return p.absent[w.Path] })
	}
	if len(p.left) == 0 {
		return Wire{}, false
	}
	best := 0
	for i := range p.left {
		if p.hints.weigh(p.left[i]) < p.hints.weigh(p.left[best]) {
			best = i
		}
	}
	w = p.left[best]
	p.left = slices.Delete(p.left, best, best+1)
	p.tried++
	return w, true
}

// ShopLives tells the probe that the shop answers under its own token: what was
// not found is then the path.
func (p *Probe) ShopLives() { p.lives = true }

// Tried is how many spellings were tried so far.
func (p *Probe) Tried() int { return p.tried }

// Telling is the answer that says most of those that were heard, nil for none.
func (p *Probe) Telling() *Error { return p.telling }

// Refused reports whether it is the credentials that are refused: one name of
// the secret was read and another one missed in the same encoding, or all names
// were answered alike in both. Trying more would teach nothing.
func (p *Probe) Refused() bool {
	refused := 0
	for _, names := range p.secrets {
		fates := map[secretFate]int{}
		for _, fate := range names {
			fates[fate]++
		}
		if fates[secretRefused] > 0 && fates[secretUnread] > 0 {
			return true
		}
		refused += fates[secretRefused]
	}
	return refused >= 6
}

// Hear takes the platform's answer to the exchange spelled w.
func (p *Probe) Hear(w Wire, e *Error) Hearing {
	w = w.filled()
	h := p.judge(w, e)
	if h != HeardNothing && (p.telling == nil || tellingness(e) > tellingness(p.telling)) {
		p.telling = e
	}
	return h
}

func (p *Probe) judge(w Wire, e *Error) Hearing {
	text := strings.ToLower(e.Detail)
	blamesRequest := e.Code == "invalid_request" || e.Code == "unsupported_grant_type" || e.Code != "invalid_grant" && lacks(text)
	switch {
	case e.Acted, e.Class == rotation.ClassRateLimited, e.Class == rotation.ClassNetwork:
		return HeardNothing
	case blamesRequest:
		p.blame(w, text)
		return HeardSpelling
	case e.Class == rotation.ClassWindow:
		return HeardRefusal
	case e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed:
		p.absent[w.Path] = true
		return HeardShop
	case e.Status == http.StatusUnsupportedMediaType || e.Status == http.StatusNotAcceptable:
		p.hints.add("body", w.Body, 4)
		return HeardSpelling
	case e.Class == rotation.ClassUnauthorized, e.Class == rotation.ClassScope, e.Class.ShopIsGone():
		if p.lives { // before that it may be the shop's own fate
			p.hints.add("secret", w.SecretParam, 1)
			p.hints.add("body", w.Body, 1)
		}
		return HeardShop
	case e.Class == rotation.ClassOurs:
		p.refuseClient(w, e)
		return HeardSpelling
	}
	return p.vague(w)
}

// lacks reports words that complain of a parameter and not of its value.
func lacks(text string) bool {
	for _, word := range []string{"missing", "required", "is not a parameter", "must be sent as", "unsupported", "can't be blank", "malformed"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// blame notes what a refused request is blamed for, as far as words tell. The
// whole of it carries a little blame in any case, so that the next try differs.
func (p *Probe) blame(w Wire, text string) {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
	for _, part := range []struct {
		name, value string
		blamed      bool
	}{
		{"secret", w.SecretParam, says("secret")},
		{"body", w.Body, says("body", "content-type", "content type", "json", "form", "encod", "media")},
		{"grant", onOff(w.SendGrantType), says("grant_type", "grant type", "unsupported_grant")},
		{"token", onOff(w.SendAccessToken), says("access_token", "access token")},
	} {
		if part.blamed {
			p.hints.add(part.name, part.value, 4)
		}
	}
	if says("secret") {
		p.secrets[w.Body][w.SecretParam] = secretUnread
	}
	p.hints.add("secret", w.SecretParam, 1)
	p.hints.add("body", w.Body, 1)
}

// refuseClient notes that the secret or the client was refused under w. The
// endpoint was reached, so its path needs no other spelling.
func (p *Probe) refuseClient(w Wire, e *Error) {
	if e.Code == "invalid_client" || e.Code == "unauthorized_client" || e.Status == http.StatusUnauthorized {
		p.secrets[w.Body][w.SecretParam] = secretRefused
		for _, path := range []string{PathPlain, PathJSON} {
			if path != w.Path {
				p.hints.add("path", path, 1)
			}
		}
	}
	p.hints.add("secret", w.SecretParam, 1)
	p.hints.add("body", w.Body, 1)
}

// vague judges a failure that an outage gives as well as a request that the
// platform chokes on: a few other spellings are worth a try, once.
func (p *Probe) vague(w Wire) Hearing {
	p.unclear++
	if p.hints.vague || p.unclear >= unclearMost {
		p.hints.vague = true
		return HeardNothing
	}
	p.hints.add("body", w.Body, 1)
	p.hints.add("path", w.Path, 1)
	return HeardSpelling
}

func (h *Hints) add(part, value string, weight int) { h.against[part+"="+value] += weight }

func (h *Hints) weigh(w Wire) int {
	return h.against["path="+w.Path] + h.against["body="+w.Body] + h.against["secret="+w.SecretParam] +
		h.against["grant="+onOff(w.SendGrantType)] + h.against["token="+onOff(w.SendAccessToken)]
}

func onOff(b bool) string {
	if b {
		return "sent"
	}
	return "left out"
}

// tellingness ranks answers by how much they say to a person.
func tellingness(e *Error) int {
	switch {
	case e.Class == rotation.ClassWindow:
		return 5
	case e.Code == "invalid_client" || e.Code == "unauthorized_client":
		return 4
	case e.Status == http.StatusUnauthorized:
		return 3
	case e.Code != "":
		return 2
	case e.Status != http.StatusNotFound:
		return 1
	}
	return 0
}

// String writes the spelling for people and the journal.
func (w Wire) String() string {
	w = w.filled()
	words := []string{w.SecretParam, w.Body, w.Path}
	for _, extra := range []struct {
		on   bool
		name string
	}{{w.SendAccessToken, "access_token"}, {w.SendGrantType, "grant_type"}, {w.RejectSame, "same token refused"}} {
		if extra.on {
			words = append(words, extra.name)
		}
	}
	return strings.Join(words, ", ")
}
