package shopdomain

import (
	"errors"
	"fmt"
	"strings"
)

// Suffix ends every shop's domain (Haravan, OAuth, step 2).
const Suffix = ".myharavan.com"

// maxLabel is the longest name that DNS allows between two dots (RFC 1035,
// section 2.3.4).
const maxLabel = 63

// The reasons are fixed texts and never repeat the input: a shop list with its
// columns swapped would otherwise put tokens into error messages.
var (
	errEmpty    = errors.New("shop domain is empty: write it as name" + Suffix)
	errNonASCII = errors.New("shop domain has characters outside ASCII: write it as name" + Suffix)
	errScheme   = errors.New("shop domain has a scheme other than http or https: write it as name" + Suffix)
	errUserinfo = errors.New("shop domain holds a user name or password (an @): remove it")
	errPort     = errors.New("shop domain holds a port: remove it")
	errPath     = errors.New("shop domain has a path, query or fragment after the host: remove it")
	errHost     = errors.New("shop domain is another host: only name" + Suffix + " is a Haravan shop")
	errDot      = errors.New("shop domain ends with a dot: remove it")
	errDepth    = errors.New("shop domain has more than one label before " + Suffix[1:] + ": write it as name" + Suffix)
	errNoName   = errors.New("shop domain has no shop's name before " + Suffix[1:])
	errLong     = fmt.Errorf("shop's name is longer than %d characters", maxLabel)
	errHyphen   = errors.New("shop's name begins or ends with a hyphen")
	errLabel    = errors.New("shop's name has characters other than letters, digits and hyphens")
)

// Parse returns the shop's domain, "name.myharavan.com" in lower case.
//
// It accepts the domain or the bare name, in any case, with a scheme of http or
// https, a trailing slash and surrounding blanks. It refuses user names, ports,
// paths, other hosts, and names that are no DNS label. Its errors give the
// reason and never repeat s.
func Parse(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", errEmpty
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return "", errNonASCII
		}
	}
	s = strings.ToLower(s)
	if scheme, rest, found := strings.Cut(s, "://"); found {
		if scheme != "http" && scheme != "https" {
			return "", errScheme
		}
		s = rest
	}
	s = strings.TrimSuffix(s, "/")
	switch {
	case s == "":
		return "", errEmpty
	case strings.ContainsAny(s, `/\?#`):
		return "", errPath
	case strings.Contains(s, "@"):
		return "", errUserinfo
	case strings.Contains(s, ":"):
		return "", errPort
	case strings.HasSuffix(s, "."):
		return "", errDot
	case s == Suffix[1:]:
		return "", errNoName
	}
	name, under := strings.CutSuffix(s, Suffix)
	if err := checkName(name, under); err != nil {
		return "", err
	}
	if under {
		return s, nil
	}
	return s + Suffix, nil
}

func checkName(name string, under bool) error {
	switch {
	case name == "":
		return errNoName
	case strings.Contains(name, "."):
		if under {
			return errDepth
		}
		return errHost
	case len(name) > maxLabel:
		return errLong
	case name[0] == '-' || name[len(name)-1] == '-':
		return errHyphen
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errLabel
		}
	}
	return nil
}

// Name returns the part before .myharavan.com of a domain that Parse returned.
func Name(domain string) string { return strings.TrimSuffix(domain, Suffix) }
