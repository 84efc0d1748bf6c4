package haravan

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/haravan-rotator/rotator/internal/secret"
)

const (
	// maxDetail is the longest Detail, in bytes.
	maxDetail = 200
	// maxMasked is how much of a text is searched for credentials.
	maxMasked = 4 << 10
	withheld  = "[text withheld: it repeats a credential]"
)

var (
	// tokenPattern matches what is long enough to be a token of somebody: one
	// that the platform minted in this very answer, for example.
	tokenPattern    = regexp.MustCompile(`[A-Za-z0-9_+=-]{24,}`)
	userinfoPattern = regexp.MustCompile(`://[^/@\s]*@`)
)

// mask makes text from outside fit to be shown: one line of printable
// characters in which the credentials that were sent do not occur, as they are
// or escaped for URLs and JSON, in base64 at any alignment or in hex, in any
// case. A text that holds one in a way that cannot be cut out is withheld.
func mask(text string, sent ...secret.String) string {
	if text == "" {
		return ""
	}
	text = oneLine(text)
	cut := len(text) > maxMasked
	if cut {
		text = text[:maxMasked]
	}
	longest := 0 // no spelling takes more than six characters for a byte, as in \u002b
	for _, s := range sent {
		longest = max(longest, 6*len(s.Reveal()))
		if s.IsZero() || utf8.RuneCountInString(lettersAndDigits(s.Reveal())) > len(text) {
			continue // no spelling is shorter than the letters and digits
		}
		low := lowerASCII(text)
		for _, spelled := range spellings(s.Reveal()) {
			if spelled = lowerASCII(spelled); strings.Contains(low, spelled) {
				text = replaceFold(text, low, spelled)
				low = lowerASCII(text)
			}
		}
		if repeats(text, s.Reveal()) {
			return withheld
		}
	}
	if cut {
		// What is left of the end may be the beginning of a credential.
		text = text[:max(0, len(text)-longest)]
	}
	text = userinfoPattern.ReplaceAllString(text, "://")
	return tokenPattern.ReplaceAllString(text, "[…]")
}

// oneLine drops what does not print (it could split a credential, or drive a
// terminal) and joins lines.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// spellings lists the ways in which an answer may repeat a credential, the
// longest first, so that no part of a longer one is left.
func spellings(v string) []string {
	all := []string{
		v, url.QueryEscape(v), url.PathEscape(v), hex.EncodeToString([]byte(v)),
		strings.ReplaceAll(url.QueryEscape(v), "+", "%20"),
		base64.RawStdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v)),
	}
	if quoted, err := json.Marshal(v); err == nil {
		all = append(all, string(quoted[1:len(quoted)-1]))
	}
	// Inside a longer base64 text ("Basic id:secret") the value begins at any of
	// three alignments; what its neighbours share of a character is left out.
	for offset := range 3 {
		padded := append(make([]byte, offset), v...)
		from, to := (offset*8+5)/6, len(padded)*8/6
		if to-from < 6 {
			continue
		}
		all = append(all,
			base64.RawStdEncoding.EncodeToString(padded)[from:to],
			base64.RawURLEncoding.EncodeToString(padded)[from:to])
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// replaceFold replaces old, in lower case, by secret.Redacted wherever it occurs
// in low, which is s in lower case.
func replaceFold(s, low, old string) string {
	var b strings.Builder
	for {
		i := strings.Index(low, old)
		if i < 0 {
			return b.String() + s
		}
		b.WriteString(s[:i])
		b.WriteString(secret.Redacted)
		s, low = s[i+len(old):], low[i+len(old):]
	}
}

// lowerASCII keeps every byte in its place, which strings.ToLower does not.
func lowerASCII(s string) string {
	upper := func(c rune) bool { return c >= 'A' && c <= 'Z' }
	if !strings.ContainsFunc(s, upper) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if upper(rune(c)) {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// repeats finds a credential that is still there in disguise: escaped where and
// how no other spelling has it, more than once perhaps, or broken up by blanks or
// punctuation. The latter compares letters and digits only, so it leaves short
// ones alone.
func repeats(text, v string) bool {
	const layers = 3
	low, core := lowerASCII(v), lettersAndDigits(v)
	found := func(text string) bool {
		return len(core) >= 8 && strings.Contains(lettersAndDigits(text), core)
	}
	return found(text) || underEscapes(text, layers, func(decoded string) bool {
		return strings.Contains(lowerASCII(decoded), low) || found(decoded)
	})
}

// underEscapes reports whether found holds for the text with up to so many layers
// of escapes removed. A credential may itself hold what looks like an escape, so
// every order is tried.
func underEscapes(text string, layers int, found func(string) bool) bool {
	if layers == 0 {
		return false
	}
	for _, decode := range []func(string) string{unescapePercent, unescapeBackslash, html.UnescapeString} {
		decoded := decode(text)
		if decoded != text && (found(decoded) || underEscapes(decoded, layers-1, found)) {
			return true
		}
	}
	return false
}

func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// unescapePercent decodes %xx where it can and leaves the rest.
func unescapePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.Write(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// backslashed is a character as JSON and its relatives may write any.
var backslashed = regexp.MustCompile(`\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})`)

// unescapeBackslash decodes escapes such as \u002b and \x2b and leaves the rest.
func unescapeBackslash(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return backslashed.ReplaceAllStringFunc(s, func(escaped string) string {
		c, err := strconv.ParseUint(escaped[2:], 16, 32)
		if err != nil {
			return escaped
		}
		return string(rune(c))
	})
}

// limited cuts s to maxDetail bytes at a character's edge.
func limited(s string) string {
	const ellipsis = "…"
	s = oneLine(s)
	if len(s) <= maxDetail {
		return s
	}
	end := maxDetail - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
