package haravansim

import "time"

// token is one access token of a shop, pinned to the secret version that
// minted it.
type token struct {
	value   value
	bornAt  int64 // Unix nanoseconds
	version uint32
	// derived tokens, and those exchanged for one, carry derivedScopes only.
	derived bool
}

// shop is what the platform remembers of a shop that was called or changed at
// least once; its lock is the fleet's. A million of them must fit in memory.
type shop struct {
	tokens     []token
	deadBefore int32 // tokens before this index died with an uninstall
	given      int32 // index of the token the app was last given, -1 none
	calls      [opCount]uint32
	minted     uint32
	minOld     uint32 // minted under a secret older than the newest live one
	reads      uint32 // identity reads answered 200 for this shop
	lastUse    uint32 // serial of the refresh token of the last exchange
	level      float32
	leakedAt   int64
	quietFrom  int64 // a 429 with Retry-After was given at this time…
	quietUntil int64 // …and asked for silence until this one
	blockUntil int64
	backAt     int64  // first good read after the last revoke
	set        State  // chosen by name; empty: drawn
	answersAs  string // whose identity it shows; empty: its own
}

// mint adds the shop's next token; its bytes depend on nothing but the seed,
// the shop, the version and how many tokens came before.
// An exchange keeps what the shop's merchant granted.
func (sh *shop) mint(key uint64, version uint32, now time.Time, installed bool) {
	n := len(sh.tokens)
	derived := !installed && n > 0 && sh.tokens[n-1].derived
	sh.tokens = append(sh.tokens, token{newValue(key, saltToken, uint64(n), uint64(version)), now.UnixNano(), version, derived})
}

// alive reports whether the i-th token opens the shop at this time.
func (sh *shop) alive(i int, b *book, k *Knobs, now time.Time) bool {
	if i < int(sh.deadBefore) || b.dead(sh.tokens[i].version, now) {
		return false
	}
	if i == 0 && sh.tokens[0].derived && !b.takesDerived() {
		return false
	}
	if i == len(sh.tokens)-1 {
		return true
	}
	switch k.OldTokens {
	case "at_once":
		return false
	case "after":
		return now.UnixNano() < sh.tokens[i+1].bornAt+int64(k.OldTokenLife)
	}
	return true
}

// find returns the index of a token with this value, -1 if the shop never had it.
func (sh *shop) find(v value) int {
	for i := len(sh.tokens) - 1; i >= 0; i-- {
		if sh.tokens[i].value == v {
			return i
		}
	}
	return -1
}

// pour adds one call to the leaky bucket and reports whether it fitted.
func (sh *shop) pour(k *Knobs, now int64) bool {
	sh.leak(k, now)
	if sh.level+1 > float32(k.BucketSize) {
		return false
	}
	sh.level++
	return true
}

func (sh *shop) leak(k *Knobs, now int64) {
	if now <= sh.leakedAt { // calls are poured in another order than they arrived in
		return
	}
	gone := float64(now-sh.leakedAt) / 1e9 * k.BucketLeak
	sh.level = max(0, sh.level-float32(gone))
	sh.leakedAt = now
}

// hush notes a 429 that asked for silence.
func (sh *shop) hush(k *Knobs, now int64) {
	sh.quietFrom, sh.quietUntil = now, now+int64(k.RetryAfter)
}

// block makes the shop refuse everything for Knobs.ThrottleBlock.
func (sh *shop) block(k *Knobs, now int64) {
	if k.ThrottleBlock > 0 { // or calls that arrived before now would be blocked
		sh.blockUntil = now + int64(k.ThrottleBlock)
	}
}
