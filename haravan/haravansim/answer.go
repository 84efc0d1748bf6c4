package haravansim

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// answer is what goes back to the client, if anything does.
type answer struct {
	status     int
	kind       []string // Content-Type, shared and never written to
	body       []byte
	location   string
	retryAfter string
	broken     breakage
	cut        int   // send this much of the body's declared length; 0: all
	gave       int32 // index of the token in this answer, plus 1
	before     int32 // the index given before it
}

type breakage uint8

const (
	breakNot   breakage = iota
	breakReset          // RST: the peer sees "connection reset"
	breakClose          // FIN: the peer sees the end of the stream
)

var (
	kindJSON = []string{"application/json; charset=utf-8"}
	kindHTML = []string{"text/html; charset=utf-8"}
	kindText = []string{"text/plain; charset=utf-8"}
)

func replyAnswer(r Reply) answer {
	a := answer{status: r.Status, kind: kindText, body: []byte(r.Body), location: r.Location}
	if r.Body != "" {
		switch r.Body[0] {
		case '{', '[':
			a.kind = kindJSON
		case '<':
			a.kind = kindHTML
		}
	}
	return a
}

func oauthAnswer(code, words string) answer {
	return replyAnswer(oauthReply(http.StatusBadRequest, code, words))
}

// wordsAnswer is an error in the API's own shape; words may hold anything.
func wordsAnswer(status int, words string) answer {
	body := append([]byte(`{"errors":`), quoteJSON(words)...)
	return answer{status: status, kind: kindJSON, body: append(body, '}')}
}

// retryAfter writes seconds the way Haravan does: with a decimal, rounded up.
func retryAfter(d time.Duration) string {
	tenths := (d + 100*time.Millisecond - 1) / (100 * time.Millisecond)
	return strconv.FormatFloat(float64(tenths)/10, 'f', 1, 64)
}

// throttled is a 429.
func (v *visit) throttled(withRetryAfter bool) answer {
	a := wordsAnswer(http.StatusTooManyRequests, "Exceeded 4 calls per second for api client. Reduce request rates to resume uninterrupted service.")
	if withRetryAfter {
		a.retryAfter = retryAfter(v.knobs.RetryAfter)
	}
	return a
}

// insteadOfEffect is the answer of a fault that keeps the call from doing
// anything.
func (v *visit) insteadOfEffect() (answer, bool) {
	errorsAs := func(body string) (answer, bool) {
		return replyAnswer(Reply{Status: v.knobs.ErrorsStatus, Body: body}), true
	}
	switch v.Fault {
	case FaultThrottle:
		v.used = v.knobs.BucketSize
		return v.throttled(true), true
	case FaultThrottleBare:
		v.used = v.knobs.BucketSize
		return v.throttled(false), true
	case FaultThrottleEmpty:
		v.used = 1
		return v.throttled(true), true
	case FaultServerText:
		return replyAnswer(Reply{Status: 500, Body: "Something went wrong. Please try again later."}), true
	case FaultServerHTML:
		return replyAnswer(Reply{Status: 502, Body: "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"}), true
	case FaultReset:
		return answer{broken: breakReset}, true
	case FaultRedirect:
		return replyAnswer(Reply{Status: 302, Location: "https://accounts.haravan.example/account/login?returnUrl=%2Fadmin"}), true
	case FaultNoToken:
		return replyAnswer(Reply{Status: 200, Body: `{"message":"success"}`}), true
	case FaultErrorsString:
		return errorsAs(`{"errors":"Something went wrong"}`)
	case FaultErrorsList:
		return errorsAs(`{"errors":["Something went wrong","Please try again"]}`)
	case FaultErrorsObject:
		return errorsAs(`{"errors":{"base":["Something went wrong"]}}`)
	case FaultUnprocessable:
		return replyAnswer(Reply{Status: 422, Body: `{"error":"Unprocessable Entity"}`}), true
	}
	return answer{}, false
}

// spoil applies the faults that come after the effect.
func (v *visit) spoil(a answer) answer {
	switch v.Fault {
	case FaultLostReset:
		a.broken = breakReset
	case FaultLostClose:
		a.broken = breakClose
	case FaultTruncated:
		a.cut = max(1, len(a.body)/2)
	case FaultHalfJSON:
		a.body = a.body[:len(a.body)/2]
	}
	return a
}

// takeBack undoes that the app was given a token whose answer it did not wait
// for. The token itself lives on.
func (s *Sim) takeBack(r ref, a answer) {
	if a.gave == 0 {
		return
	}
	sh := s.lock(r)
	defer s.unlock(r)
	if sh.given == a.gave-1 {
		sh.given = a.before
	}
}

// send records the call and then writes, breaks or cuts the answer, so that
// whoever has the answer finds the call in the history.
func (v *visit) send(a answer) {
	if a.broken == breakNot {
		v.Status = a.status
	}
	v.record()
	if a.broken != breakNot {
		v.breakOff(a.broken)
	}
	h := v.w.Header()
	v.setDate(h)
	if a.kind != nil {
		h["Content-Type"] = a.kind
	}
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	if v.used >= 0 && v.knobs.BucketHeader != "none" {
		name := "X-Haravan-Api-Call-Limit"
		if v.knobs.BucketHeader == "old" {
			name = "X-Haravan-Shop-Api-Call-Limit"
		}
		h[name] = []string{strconv.Itoa(v.used) + "/" + strconv.Itoa(v.knobs.BucketSize)}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	v.w.WriteHeader(a.status)
	if a.cut > 0 {
		_, _ = v.w.Write(a.body[:min(a.cut, len(a.body))])
		_ = http.NewResponseController(v.w).Flush() // what matters is what the peer sees
		panic(http.ErrAbortHandler)
	}
	_, _ = v.w.Write(a.body) // a client that left is no error of ours
}

func (v *visit) record() {
	v.Took = time.Since(v.began)
	v.s.history.add(v.Call)
	if ctx := v.r.Context(); v.s.verbose(ctx) {
		v.s.log.DebugContext(ctx, "call", "seq", v.Seq, "op", v.Op, "shop", v.Shop, "status", v.Status, "fault", v.Fault, "took", v.Took)
	}
}

// setDate shows the time that Knobs ask for; net/http fills in the real one.
func (v *visit) setDate(h http.Header) {
	k := v.knobs
	if k.SkewDate == 0 && !k.DateFollowsClock && v.s.opts.Now == nil {
		return
	}
	at := v.s.Now()
	if !k.DateFollowsClock {
		at = at.Add(-time.Duration(v.s.offset.Load()))
	}
	h.Set("Date", at.Add(k.SkewDate).UTC().Format(http.TimeFormat))
}

// breakOff ends the connection without an answer and does not return.
func (v *visit) breakOff(how breakage) {
	if conn, _, err := http.NewResponseController(v.w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok && how == breakReset {
			_ = tcp.SetLinger(0) // makes Close send RST
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
