package haravansim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// identity is GET /admin/shop.json ("OAuth", step 4): whose token is this?
func (v *visit) identity(known bool) answer {
	v.Op = OpIdentity
	if v.r.Method != http.MethodGet {
		return v.misuse(http.StatusMethodNotAllowed, shopPath+" takes GET only")
	}
	if v.r.Header.Get("X-Haravan-Access-Token") != "" {
		return v.misuse(http.StatusUnauthorized, "X-Haravan-Access-Token is not taken any more: send Authorization: Bearer")
	}
	scheme, bearer, ok := strings.Cut(v.r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return v.misuse(http.StatusUnauthorized, "Authorization: Bearer is missing")
	}
	if !known {
		return replyAnswer(v.knobs.UnknownShop)
	}
	n, refusal := v.admit(opIdentity)
	if n == 0 {
		return refusal
	}
	return v.perform(opIdentity, n, func() answer { return v.readIdentity(bearer) })
}

func (v *visit) readIdentity(bearer string) answer {
	sh := v.s.lock(v.ref)
	defer v.s.unlock(v.ref)
	switch v.s.state(v.ref, sh) {
	case StateUninstalled:
		return replyAnswer(v.knobs.DeadToken)
	case StateFrozen:
		return replyAnswer(v.knobs.FrozenShop)
	case StateUnknown:
		return replyAnswer(v.knobs.UnknownShop)
	}
	now, book := v.s.Now(), v.s.creds.book.Load()
	i := v.opens(sh, bearer, book, now)
	if i < 0 {
		return replyAnswer(v.knobs.DeadToken)
	}
	if need := v.knobs.IdentityScope; need != "" && !v.grants(sh, bearer, need) {
		return wordsAnswer(http.StatusForbidden, "[API] This action requires merchant approval for "+need+" scope.")
	}
	sh.noteBack(i, book, now)
	sh.reads++
	who := v.ref
	switch {
	case sh.answersAs != "":
		who = v.s.stranger(sh.answersAs)
	case v.Fault == FaultWrongShop:
		who = v.s.neighbour(v.ref)
	}
	return answer{status: http.StatusOK, kind: kindJSON, body: shopJSON(who)}
}

// grants reports whether a token that opens the shop carries the scope.
func (v *visit) grants(sh *shop, bearer, scope string) bool {
	x, _ := parseValue(bearer) // opens parsed it before
	return slices.Contains(sh.tokens[sh.find(x)].scopes(), scope)
}

// stranger is the shop with this domain, or one made up for it.
func (s *Sim) stranger(domain string) ref {
	if r, ok := s.locate(domain); ok {
		return r
	}
	key := s.key(domain)
	return ref{index: MaxShops + int(key%MaxShops), domain: domain, key: key}
}

// neighbour is a shop that is not r.
func (s *Sim) neighbour(r ref) ref {
	if next, ok := s.locate(fleetDomain(r.index + 1)); ok {
		return next
	}
	return s.stranger("another-" + shopName(r.domain)[:min(len(shopName(r.domain)), 40)] + domainSuffix)
}

// shopJSON is a shop's identity. myharavan_domain comes as the live platform
// sends it: with a scheme, and for half of the shops with a trailing slash.
func shopJSON(r ref) []byte {
	name := shopName(r.domain)
	coin := draw(r.key, saltDomain, 0, 0)
	b := make([]byte, 0, 320)
	b = append(b, `{"shop":{"id":`...)
	b = strconv.AppendInt(b, shopID(r.index), 10)
	b = append(b, `,"name":"`...)
	b = append(b, name...)
	b = append(b, `","email":"owner@`...)
	b = append(b, name...)
	b = append(b, `.example","domain":"`...)
	b = append(b, name...)
	b = append(b, `.example","myharavan_domain":"http`...)
	if coin&1 == 0 {
		b = append(b, 's')
	}
	b = append(b, "://"...)
	b = append(b, r.domain...)
	if coin&2 == 0 {
		b = append(b, '/')
	}
	b = append(b, `","shop_owner":"owner of `...)
	b = append(b, name...)
	return append(b, `","currency":"VND","country":"VN"}}`...)
}
