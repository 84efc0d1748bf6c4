package haravan

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"slices"
	"strings"
)

type bodyKind int

const (
	bodyEmpty bodyKind = iota
	bodyJSON
	bodyBrokenJSON
	bodyHTML
	bodyText
	bodyPacked // compressed, though it was asked not to be
)

// said is what a body tells about an error. text is raw: not yet masked.
type said struct {
	kind bodyKind
	code string // OAuth error code, lower case
	text string
}

var (
	// Codes are a subset of RFC 6749's, whose 1*NQSCHAR includes blanks: with
	// them it is a sentence.
	codePattern  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*$`)
	titlePattern = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
)

const maxCode = 64

// readBody looks at the bytes and not at Content-Type, which error pages of
// gateways often have wrong.
func readBody(body []byte) said {
	body = bytes.TrimSpace(unmarked(body))
	if len(body) == 0 {
		return said{}
	}
	switch body[0] {
	case '{':
		return readObject(body)
	case '[', '"':
		var v any
		if json.Unmarshal(body, &v) != nil {
			return said{kind: bodyBrokenJSON}
		}
		return said{kind: bodyJSON, text: flatten(v, 0)}
	case '<':
		s := said{kind: bodyHTML, text: "an HTML page"}
		if title := titlePattern.FindSubmatch(body); title != nil {
			s.text += ": " + html.UnescapeString(string(title[1]))
		}
		return s
	}
	return said{kind: bodyText, text: string(body)}
}

// unmarked drops a byte order mark: some servers begin UTF-8 with one, and
// encoding/json does not take it.
func unmarked(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) }

func readObject(body []byte) said {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return said{kind: bodyBrokenJSON}
	}
	s := said{kind: bodyJSON}
	var parts []string
	for _, name := range []string{"error", "errors", "error_description", "message", "code", "error_code", "error_Code"} {
		text := flatten(fields[name], 0)
		switch {
		case text == "":
		case s.code == "" && name != "message" && name != "error_description" && isCode(text):
			s.code = strings.ToLower(text)
		case !slices.Contains(parts, text):
			parts = append(parts, text)
		}
	}
	s.text = strings.Join(parts, ": ")
	return s
}

// isCode tells a code ("invalid_grant") from a word of prose ("Locked"): a code
// has a separator or is all lower case.
func isCode(s string) bool {
	return len(s) <= maxCode && codePattern.MatchString(s) &&
		(strings.ContainsAny(s, "_.-") || s == strings.ToLower(s))
}

// flatten writes a value of the "errors" member in one line: a string as it is,
// a list's elements, an object's members in order of name. Numbers and booleans
// alone tell nothing.
func flatten(v any, depth int) string {
	const maxDepth, maxParts = 3, 5
	if depth > maxDepth {
		return ""
	}
	var parts []string
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case []any:
		for _, element := range v {
			if text := flatten(element, depth+1); text != "" && len(parts) < maxParts {
				parts = append(parts, text)
			}
		}
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			text := flatten(v[name], depth+1)
			if s, ok := v[name].(string); ok && holdsCredential(name, s) {
				text = "[…]"
			}
			if text != "" && len(parts) < maxParts {
				parts = append(parts, name+" "+text)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// holdsCredential reports whether a member of that name may be a credential and
// no words about one: a token that was minted in this answer is unknown to mask.
func holdsCredential(name, value string) bool {
	named := slices.ContainsFunc([]string{"token", "secret", "password"}, func(word string) bool {
		return strings.Contains(strings.ToLower(name), word)
	})
	return named && !strings.Contains(strings.TrimSpace(value), " ") &&
		(!isCode(value) || strings.ContainsAny(value, "0123456789"))
}

// whyNoSuccess says what is wrong with a status of success. It quotes no body
// that could not be read: a token may be in it.
func (s said) whyNoSuccess(op Op) string {
	wanted := "an access token"
	if op == OpIdentity {
		wanted = "a shop's myharavan_domain"
	}
	switch s.kind {
	case bodyEmpty:
		return "an empty answer instead of " + wanted
	case bodyHTML:
		return "an HTML page instead of " + wanted
	case bodyPacked:
		return "a compressed answer instead of " + wanted
	case bodyText:
		return "plain text instead of " + wanted
	case bodyBrokenJSON:
		return "broken JSON instead of " + wanted
	}
	if s.text != "" {
		return "JSON without " + wanted + ": " + s.text
	}
	return "JSON without " + wanted + " that can be used"
}
