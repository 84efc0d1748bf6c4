package haravansim

import (
	"fmt"
	"slices"
)

// Op names what a platform call does. Faults are drawn and scripted per Op.
type Op string

// The operations of the platform port.
const (
	// OpExchange is the token endpoint with a refresh token.
	OpExchange Op = "exchange"
	// OpCode is the token endpoint with an authorization code: an install.
	OpCode Op = "code"
	// OpIdentity is GET /admin/shop.json.
	OpIdentity Op = "identity"
)

var allOps = [...]Op{OpExchange, OpCode, OpIdentity}

const opCount = len(allOps)

// Positions in allOps.
const (
	opExchange = iota
	opCode
	opIdentity
)

func (o Op) index() int { return slices.Index(allOps[:], o) }

// Fault is one way in which a call goes wrong.
type Fault string

// The faults. Reason says why each is here.
const (
	// FaultNone is for scripts: this call is left alone whatever the rates say.
	FaultNone          Fault = "none"
	FaultThrottle      Fault = "throttle"
	FaultThrottleBare  Fault = "throttle_bare"
	FaultThrottleEmpty Fault = "throttle_empty_bucket"
	FaultServerText    Fault = "server_text"
	FaultServerHTML    Fault = "server_html"
	FaultSlow          Fault = "slow"
	FaultReset         Fault = "reset"
	FaultLostReset     Fault = "lost_reset"
	FaultLostClose     Fault = "lost_close"
	FaultTruncated     Fault = "truncated"
	FaultHalfJSON      Fault = "half_json"
	FaultRedirect      Fault = "redirect"
	FaultNoToken       Fault = "no_token"
	FaultErrorsString  Fault = "errors_string"
	FaultErrorsList    Fault = "errors_list"
	FaultErrorsObject  Fault = "errors_object"
	FaultWrongShop     Fault = "wrong_shop"
	FaultUnprocessable Fault = "unprocessable"
)

// faultReasons is in the order in which rates are laid end to end, which is
// part of what a seed means: append only.
var faultReasons = [...]struct {
	fault  Fault
	reason string
}{
	{FaultNone, "the call is left alone"},
	{FaultThrottle, "429 with a decimal Retry-After and a full bucket in the header: the documented refusal"},
	{FaultThrottleBare, "429 without Retry-After: the client must find a pause of its own"},
	{FaultThrottleEmpty, "429 while the header shows an almost empty bucket: seen by public clients, so Retry-After is a floor"},
	{FaultServerText, "500 in plain text, as the platform words it: not everything that answers speaks JSON"},
	{FaultServerHTML, "502 as an HTML page: a proxy in front of the platform"},
	{FaultSlow, "the answer comes Knobs.SlowBy late, before or after the effect: a client that gives up does not know which"},
	{FaultReset, "the connection is reset and nothing was done"},
	{FaultLostReset, "the token was minted, then the connection is reset: the answer is lost, the effect is not"},
	{FaultLostClose, "the token was minted, then the connection is closed without an answer, as a restarting server does"},
	{FaultTruncated, "the effect happened and the body stops short of its Content-Length"},
	{FaultHalfJSON, "the effect happened and the body is half of its JSON with a Content-Length that fits: only parsing tells"},
	{FaultRedirect, "302 to a login page on another host: credentials must not follow"},
	{FaultNoToken, "200 without access_token and nothing minted: a success that is none"},
	{FaultErrorsString, `an error as {"errors": "…"}`},
	{FaultErrorsList, `an error as {"errors": ["…"]}`},
	{FaultErrorsObject, `an error as {"errors": {"base": ["…"]}}`},
	{FaultWrongShop, "another shop's identity answers: a routing mistake that only a comparison of domains finds"},
	{FaultUnprocessable, `422 {"error":"Unprocessable Entity"}: known to be transient`},
}

// AllFaults lists every fault, FaultNone first.
func AllFaults() []Fault {
	all := make([]Fault, len(faultReasons))
	for i, f := range faultReasons {
		all[i] = f.fault
	}
	return all
}

func (f Fault) index() int {
	for i := range faultReasons {
		if faultReasons[i].fault == f {
			return i
		}
	}
	return -1
}

// Reason says what the fault does and why a client must survive it. It is empty
// for an unknown fault.
func (f Fault) Reason() string {
	if i := f.index(); i >= 0 {
		return faultReasons[i].reason
	}
	return ""
}

// appliesTo reports whether f means anything for op.
func (f Fault) appliesTo(op Op) bool {
	switch f {
	case FaultWrongShop:
		return op == OpIdentity
	case FaultNoToken:
		return op != OpIdentity
	}
	return true
}

// losesAnswer reports whether the client never learns what the call did.
func (f Fault) losesAnswer() bool {
	switch f {
	case FaultLostReset, FaultLostClose, FaultTruncated, FaultHalfJSON:
		return true
	}
	return false
}

func checkFault(f Fault, op Op) error {
	switch {
	case op.index() < 0:
		return fmt.Errorf("unknown operation %q: use one of %v", op, allOps)
	case f.index() < 0:
		return fmt.Errorf("unknown fault %q: use one of %v", f, AllFaults())
	case !f.appliesTo(op):
		return fmt.Errorf("fault %s cannot happen to operation %s", f, op)
	}
	return nil
}
