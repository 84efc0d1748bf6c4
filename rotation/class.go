package rotation

import "slices"

// Class says what kind of thing went wrong with one attempt on one shop. It
// decides what happens next: whether the shop is tried again, set aside alone,
// or whether the run as a whole must stop because the fault is not the shop's.
type Class string

// The outcome classes. The empty Class means success.
const (
	// ClassPlatform: Haravan answered 5xx, or a 422 that its clients saw pass.
	ClassPlatform Class = "platform"
	// ClassRateLimited: 429, or the shop's bucket is known to be full.
	ClassRateLimited Class = "rate_limited"
	// ClassNetwork: no answer: refused, reset, timed out, TLS or DNS failure.
	ClassNetwork Class = "network"
	// ClassBadAnswer: an answer that cannot be read as the protocol's: HTML,
	// truncated JSON, a 200 without an access token, a redirect.
	ClassBadAnswer Class = "bad_answer"
	// ClassUnauthorized: 401 for this shop or token.
	ClassUnauthorized Class = "unauthorized"
	// ClassScope: 403, the token is alive but lacks a scope.
	ClassScope Class = "scope"
	// ClassUninstalled: the shop no longer has the app.
	ClassUninstalled Class = "uninstalled"
	// ClassFrozen: the shop is closed, unpaid or locked (402, 423).
	ClassFrozen Class = "frozen"
	// ClassNotFound: no such shop (404).
	ClassNotFound Class = "not_found"
	// ClassWrongShop: the identity read answered for another shop.
	ClassWrongShop Class = "wrong_shop"
	// ClassWindow: the refresh token is refused or its hour is over.
	ClassWindow Class = "window"
	// ClassOurs: our side is wrong: the app's secret or client id is refused,
	// a request we built was malformed, our own storage failed.
	ClassOurs Class = "ours"
)

// Classes lists every class, in the order that reports print them.
var Classes = []Class{
	ClassPlatform, ClassRateLimited, ClassNetwork, ClassBadAnswer,
	ClassUnauthorized, ClassScope, ClassUninstalled, ClassFrozen,
	ClassNotFound, ClassWrongShop, ClassWindow, ClassOurs,
}

// Valid reports whether c is one of Classes.
func (c Class) Valid() bool { return slices.Contains(Classes, c) }

// TripsBreaker reports whether c counts against the run's error budget. A dead
// shop says nothing about the platform or about us, so it never does.
func (c Class) TripsBreaker() bool {
	switch c {
	case ClassPlatform, ClassNetwork, ClassBadAnswer, ClassOurs:
		return true
	}
	return false
}

// Retryable reports whether trying the same shop again, later, can help.
func (c Class) Retryable() bool {
	switch c {
	case ClassPlatform, ClassRateLimited, ClassNetwork, ClassBadAnswer:
		return true
	}
	return false
}

// StopsRun reports whether every other shop would meet the same fate: the
// refresh token or the secret itself is refused.
func (c Class) StopsRun() bool { return c == ClassWindow || c == ClassOurs }

// ShopIsGone reports whether the class means that the shop has no use for a
// token any more, so that it is skipped with that reason and not parked.
func (c Class) ShopIsGone() bool {
	switch c {
	case ClassUninstalled, ClassFrozen, ClassNotFound:
		return true
	}
	return false
}

// Words explains the class to an operator, in one clause.
func (c Class) Words() string {
	switch c {
	case "":
		return "done"
	case ClassPlatform:
		return "Haravan failed to answer properly (5xx)"
	case ClassRateLimited:
		return "Haravan asked us to slow down (429)"
	case ClassNetwork:
		return "no answer from the host"
	case ClassBadAnswer:
		return "the answer was not the protocol's"
	case ClassUnauthorized:
		return "the credential was refused for this shop (401)"
	case ClassScope:
		return "the token lives but lacks a scope (403)"
	case ClassUninstalled:
		return "the shop no longer has the app"
	case ClassFrozen:
		return "the shop is frozen or closed"
	case ClassNotFound:
		return "Haravan knows no such shop"
	case ClassWrongShop:
		return "another shop's identity answered"
	case ClassWindow:
		return "the refresh token is refused or expired"
	case ClassOurs:
		return "our own credentials, request or table are refused"
	}
	return string(c)
}
