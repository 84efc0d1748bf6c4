package haravansim

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxTokenBody = 64 << 10
	typeForm     = "application/x-www-form-urlencoded"
	typeJSON     = "application/json"
)

// grant is what a client posts to the token endpoint.
type grant struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	SharedSecret string `json:"shared_secret"`
	RefreshToken string `json:"refresh_token"`
	AccessToken  string `json:"access_token"`
	GrantType    string `json:"grant_type"`
	Code         string `json:"code"`
	RedirectURI  string `json:"redirect_uri"`
}

func (g *grant) field(name string) *string {
	switch name {
	case "client_id":
		return &g.ClientID
	case "client_secret":
		return &g.ClientSecret
	case "shared_secret":
		return &g.SharedSecret
	case "refresh_token":
		return &g.RefreshToken
	case "access_token":
		return &g.AccessToken
	case "grant_type":
		return &g.GrantType
	case "code":
		return &g.Code
	case "redirect_uri":
		return &g.RedirectURI
	}
	return nil
}

func (v *visit) tokenEndpoint(known bool) answer {
	if v.r.Method != http.MethodPost {
		return v.misuse(http.StatusMethodNotAllowed, "the token endpoint takes POST only")
	}
	kind := mediaType(v.r.Header.Get("Content-Type"))
	if kind != typeForm && kind != typeJSON {
		return v.misuse(http.StatusUnsupportedMediaType, "the body must be a form or JSON and say so in Content-Type")
	}
	body, err := io.ReadAll(io.LimitReader(v.r.Body, maxTokenBody+1))
	if err != nil {
		return answer{broken: breakClose}
	}
	if len(body) > maxTokenBody {
		return v.misuse(http.StatusRequestEntityTooLarge, "the body is over 64 KiB")
	}
	isJSON := kind == typeJSON
	if a, refused := v.wrongVariant(isJSON); refused {
		return a
	}
	g, refused := readGrant(body, isJSON)
	if refused != "" {
		return oauthAnswer("invalid_request", refused)
	}
	op := opExchange
	if g.GrantType == "authorization_code" || g.Code != "" {
		op = opCode
	}
	v.Op = allOps[op]
	if !known {
		return replyAnswer(v.knobs.UnknownShop)
	}
	n, refusal := v.admit(op)
	if n == 0 {
		return refusal
	}
	return v.perform(op, n, func() answer { return v.grantToken(&g, op) })
}

// mediaType is a Content-Type without its parameters, empty if it is none.
func mediaType(header string) string {
	if header == typeForm || header == typeJSON { // nearly every call
		return header
	}
	kind, _, err := mime.ParseMediaType(header)
	if err != nil {
		return ""
	}
	return kind
}

// wrongVariant refuses a path or body that the knobs rule out.
func (v *visit) wrongVariant(isJSON bool) (a answer, refused bool) {
	switch path, body := v.knobs.TokenPath, v.knobs.TokenBody; {
	case path == "plain" && v.Path == tokenPathJSON, path == "json" && v.Path == tokenPath:
		return wordsAnswer(http.StatusNotFound, "Not Found"), true
	case body == "form" && isJSON, body == "json" && !isJSON:
		return oauthAnswer("invalid_request", "the body must be sent as "+body), true
	}
	return answer{}, false
}

// readGrant parses a body; refused says why it cannot be taken. Unknown
// parameters are ignored, repeated ones are not (RFC 6749, section 3.2).
func readGrant(body []byte, isJSON bool) (g grant, refused string) {
	if isJSON {
		if err := json.Unmarshal(body, &g); err != nil {
			return g, "the body is not a JSON object of strings"
		}
		return g, ""
	}
	for pair := range strings.SplitSeq(string(body), "&") {
		name, text, _ := strings.Cut(pair, "=")
		field := g.field(name)
		if field == nil {
			continue
		}
		if *field != "" {
			return g, name + " is repeated"
		}
		text, err := url.QueryUnescape(text)
		if err != nil {
			return g, "the body is not a form"
		}
		*field = text
	}
	return g, ""
}

// grantToken is the token endpoint proper: who asks, for which shop, with what
// right, and then a token.
func (v *visit) grantToken(g *grant, op int) answer {
	now, book := v.s.Now(), v.s.creds.book.Load()
	version, refusal := v.authenticate(g, book, now)
	if version == 0 {
		return refusal
	}
	sh := v.s.lock(v.ref)
	defer v.s.unlock(v.ref)
	switch v.s.state(v.ref, sh) {
	case StateUninstalled:
		return replyAnswer(v.knobs.UninstalledShop)
	case StateFrozen:
		return replyAnswer(v.knobs.FrozenShop)
	case StateUnknown:
		return replyAnswer(v.knobs.UnknownShop)
	}
	if op == opCode {
		if refusal, ok := v.checkCode(g); !ok {
			return refusal
		}
	} else if v.s.isLegacy(v.ref) && len(sh.tokens) == 1 && !book.takesDerived() {
		return replyAnswer(v.knobs.UninstalledShop) // it has no OAuth token to exchange yet
	} else if refusal, ok := v.checkRefresh(g, book, sh, now); !ok {
		return refusal
	}
	return v.mintToken(sh, book, version, op, now)
}

// authenticate finds the version of the presented secret. An older one that is
// still live is as good as the newest: that is the platform's trap. Version 0
// means that refusal is the answer.
func (v *visit) authenticate(g *grant, book *book, now time.Time) (version uint32, refusal answer) {
	presented := g.ClientSecret
	switch v.knobs.SecretParameter {
	case "shared_secret":
		presented = g.SharedSecret
	case "either":
		def(&presented, g.SharedSecret)
	}
	version = uint32(book.byValue[presented])
	switch {
	case g.ClientID == "":
		return 0, oauthAnswer("invalid_request", "client_id is missing")
	case presented == "":
		return 0, oauthAnswer("invalid_request", "the secret's parameter is missing")
	case g.ClientID != v.s.app.ClientID:
		return 0, replyAnswer(v.knobs.UnknownClient)
	case version == 0:
		return 0, replyAnswer(v.knobs.WrongSecret)
	case book.dead(version, now):
		return 0, replyAnswer(v.knobs.RevokedSecret)
	}
	return version, answer{}
}

func (v *visit) checkCode(g *grant) (refusal answer, ok bool) {
	switch {
	case g.GrantType != "authorization_code":
		return oauthAnswer("unsupported_grant_type", "a code needs grant_type=authorization_code"), false
	case g.Code == "" || g.RedirectURI == "":
		return oauthAnswer("invalid_request", "code and redirect_uri are required"), false
	case !v.s.codes.take(g.Code, v.Shop):
		return oauthAnswer("invalid_grant", "the code is unknown, used or of another shop"), false
	}
	return answer{}, true
}

// checkRefresh decides whether the refresh token may be used for this shop now,
// and notes the use. The caller holds the shop's lock.
func (v *visit) checkRefresh(g *grant, book *book, sh *shop, now time.Time) (refusal answer, ok bool) {
	k := v.knobs
	r, known := book.refresh[g.RefreshToken]
	switch {
	case g.GrantType != "" && g.GrantType != "refresh_token":
		return oauthAnswer("unsupported_grant_type", "grant_type must be refresh_token or authorization_code"), false
	case g.GrantType == "" && k.GrantTypeParameter == "required":
		return oauthAnswer("invalid_request", "grant_type is missing"), false
	case g.GrantType != "" && k.GrantTypeParameter == "refused":
		return oauthAnswer("invalid_request", "grant_type is not a parameter of this call"), false
	case g.RefreshToken == "":
		return oauthAnswer("invalid_request", "refresh_token is missing"), false
	case !known:
		return replyAnswer(k.UnknownRefreshToken), false
	case r.Foreign:
		return replyAnswer(k.ForeignRefreshToken), false
	case r.revoked:
		return replyAnswer(k.RevokedRefreshToken), false
	case !now.Before(r.ExpiresAt):
		return replyAnswer(k.ExpiredRefreshToken), false
	case g.AccessToken != "" && k.AccessTokenParameter == "refused":
		return oauthAnswer("invalid_request", "access_token is not a parameter of this call"), false
	case k.AccessTokenParameter == "required" && v.opens(sh, g.AccessToken, book, now) < 0:
		return oauthAnswer("invalid_request", "access_token must be a living token of this shop"), false
	case k.RefreshTokenUses == "once_per_shop" && sh.lastUse == r.serial,
		k.RefreshTokenUses == "once" && !r.used.CompareAndSwap(false, true):
		return replyAnswer(k.UsedRefreshToken), false
	}
	sh.lastUse = r.serial
	return answer{}, true
}

// opens returns the index of the shop's token with this value, -1 if the shop has
// none or it is dead.
func (v *visit) opens(sh *shop, accessToken string, book *book, now time.Time) int {
	x, ok := parseValue(accessToken)
	if !ok {
		return -1
	}
	i := sh.find(x)
	if i < 0 || !sh.alive(i, book, v.knobs, now) {
		return -1
	}
	return i
}

// mintToken makes the shop's next token, or finds it where Knobs say that a
// repeated exchange returns the same. The caller holds the shop's lock.
func (v *visit) mintToken(sh *shop, book *book, version uint32, op int, now time.Time) answer {
	i := -1
	if op == opExchange && v.knobs.RepeatReturnsSame {
		for j := range sh.tokens {
			if sh.tokens[j].version == version && sh.alive(j, book, v.knobs, now) {
				i = j
			}
		}
	}
	a := answer{status: http.StatusOK, kind: kindJSON, before: sh.given}
	if i < 0 {
		i = len(sh.tokens)
		sh.mint(v.ref.key, version, now, op == opCode)
		sh.minted++
		if version != book.newest() {
			sh.minOld++
		}
		v.TokenVersionMinted = int(version)
	}
	a.gave = int32(i) + 1
	if !v.Fault.losesAnswer() {
		sh.given = int32(i)
	}
	a.body = append(make([]byte, 0, 256), `{"access_token":"`...)
	a.body = sh.tokens[i].value.append(a.body)
	a.body = append(a.body, `","scope":"`...)
	a.body = append(a.body, sh.tokens[i].scope()...)
	a.body = append(a.body, `"}`...)
	return a
}
