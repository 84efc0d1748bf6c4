package haravansim

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The paths of the platform port ("API Credential Rotation", step 5, gives the
// first two in one breath).
const (
	tokenPath     = "/admin/oauth/access_token"
	tokenPathJSON = "/admin/oauth/access_token.json"
	shopPath      = "/admin/shop.json"
)

// Platform is Haravan's side: the gen-1 hosts, all on one port. The shop is
// taken from the Host header.
func (s *Sim) Platform() http.Handler { return http.HandlerFunc(s.servePlatform) }

// visit is one platform call on its way through.
type visit struct {
	Call
	s       *Sim
	w       http.ResponseWriter
	r       *http.Request
	knobs   *Knobs
	ref     ref
	arrived time.Time // the simulator's clock
	began   time.Time // the real one, for Took
	used    int       // calls in the bucket, -1: not counted for this call
}

func (s *Sim) servePlatform(w http.ResponseWriter, r *http.Request) {
	v := visit{s: s, w: w, r: r, knobs: s.knobs.Load(), arrived: s.Now(), began: time.Now(), used: -1}
	path := r.URL.Path
	if path != tokenPath && path != tokenPathJSON && path != shopPath {
		path = printable(path)
	}
	v.Call = Call{Seq: s.seq.Add(1), At: v.arrived, Method: r.Method, Path: path, Shop: clip(hostDomain(r.Host))}
	v.send(v.handle())
}

func (v *visit) handle() answer {
	isToken := v.Path == tokenPath || v.Path == tokenPathJSON
	if !isToken && v.Path != shopPath {
		return v.misuse(http.StatusNotFound, "no such path: a client of this app calls "+tokenPath+" and "+shopPath)
	}
	if v.r.URL.RawQuery != "" {
		if name := v.secretInQuery(); name != "" {
			return v.misuse(http.StatusBadRequest, "the query carries "+name+": credentials in a URL end up in logs")
		}
	}
	if err := checkDomain(v.Shop); err != nil {
		return v.misuse(http.StatusNotFound, "the host "+err.Error())
	}
	var known bool
	v.ref, known = v.s.locate(v.Shop)
	if isToken {
		return v.tokenEndpoint(known)
	}
	return v.identity(known)
}

// secretInQuery names the first query parameter that must not be in a URL, by
// its name or because its value is a credential of the app.
func (v *visit) secretInQuery() string {
	query, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return "something that cannot be parsed"
	}
	book := v.s.creds.book.Load()
	for name, values := range query {
		switch strings.ToLower(name) {
		case "client_secret", "shared_secret", "refresh_token", "access_token", "code", "token":
			return name
		}
		for _, x := range values {
			_, isRefresh := book.refresh[x]
			if _, isSecret := book.byValue[x]; isSecret || isRefresh || v.s.TokenVersion(v.Shop, x) > 0 {
				return "a credential as " + name
			}
		}
	}
	return ""
}

// misuse records a call that a correct client never makes and refuses it.
func (v *visit) misuse(status int, words string) answer {
	v.s.misuse.add(&v.Call, words)
	return wordsAnswer(status, words)
}

// printable is a path as it may be kept: short, and without what looks like one
// of our credentials.
func printable(path string) string {
	parts := strings.Split(clip(path), "/")
	for i, part := range parts {
		if _, ok := parseValue(part); ok {
			parts[i] = "[redacted]"
		}
	}
	return strings.Join(parts, "/")
}

func clip(s string) string { return s[:min(len(s), 200)] }

// hostDomain is the shop's domain in a Host header.
func hostDomain(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.ToLower(host)
}

// admit decides what meets this call before it can take effect: a pause that is
// not over, a full bucket, a fault. It returns which call of this operation to
// this shop it is; 0 means none, and that refusal is the answer.
func (v *visit) admit(op int) (n uint32, refusal answer) {
	s, k, now := v.s, v.knobs, v.arrived.UnixNano()
	sh := s.lock(v.ref)
	defer s.unlock(v.ref)
	counts := op == opIdentity || k.TokenEndpointCounts
	// A call that was under way when the 429 was given knew nothing of it.
	if now >= sh.quietFrom && now < sh.quietUntil {
		a := v.misuse(http.StatusTooManyRequests, "it comes before the Retry-After of this shop's last 429 is over")
		a.retryAfter = retryAfter(time.Duration(sh.quietUntil - now))
		return 0, a
	}
	blocked := now < sh.blockUntil
	if blocked || counts && !sh.pour(k, now) {
		if !k.BucketOmitsRetryAfter {
			sh.hush(k, now)
		}
		if !blocked { // or asking again would prolong the block for ever
			sh.block(k, now)
		}
		v.used = k.BucketSize
		return 0, v.throttled(!k.BucketOmitsRetryAfter)
	}
	if counts {
		v.used = int(sh.level + 0.999)
	}
	sh.calls[op]++
	v.drawFault(op, sh.calls[op])
	switch v.Fault {
	case FaultThrottle, FaultThrottleEmpty:
		before, after := v.delays(op, sh.calls[op])
		sh.hush(k, now+int64(before+after)) // the client learns of it that much later
		sh.block(k, now)
	case FaultThrottleBare:
		sh.block(k, now)
	}
	return sh.calls[op], answer{}
}

// drawFault decides what goes wrong with the n-th call of op to this shop.
func (v *visit) drawFault(op int, n uint32) {
	fault, scripted := v.s.scripts.next(v.Shop, op)
	if !scripted {
		fault = v.s.weather.Load().fault(v.ref.key, op, n)
	}
	if fault == FaultNone {
		return
	}
	v.Fault = fault
	v.s.faults[fault.index()].Add(1)
}

// perform takes an admitted call through delays, effect and fault.
func (v *visit) perform(op int, n uint32, effect func() answer) answer {
	before, after := v.delays(op, n)
	if !v.wait(before) {
		return answer{broken: breakClose}
	}
	a, instead := v.insteadOfEffect()
	if !instead {
		a = effect()
	}
	if !v.wait(after) {
		v.s.takeBack(v.ref, a)
		return answer{broken: breakClose}
	}
	return v.spoil(a)
}

// delays splits the call's latency around its effect by a coin that the seed
// tossed.
func (v *visit) delays(op int, n uint32) (before, after time.Duration) {
	o := &v.s.opts
	d := o.Latency
	if v.Fault == FaultSlow {
		d += v.knobs.SlowBy
	}
	at := uint64(op)<<32 | uint64(n)
	if o.Jitter > 0 {
		d += time.Duration(unit(draw(v.ref.key, saltDelay, at, 0)) * float64(o.Jitter))
	}
	if draw(v.ref.key, saltSide, at, 0)&1 == 0 {
		return d, 0
	}
	return 0, d
}

// wait reports false if the client gave up first.
func (v *visit) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-v.r.Context().Done():
		return false
	}
}
