package haravansim

import "encoding/hex"

// Salts keep the draws for one shop independent of each other.
const (
	saltShop uint64 = 0x73686f70_00000001 + iota
	saltToken
	saltSecret
	saltRefresh
	saltCode
	saltClient
	saltFault
	saltDead
	saltDelay
	saltSide
	saltDomain
	saltLegacy
)

// mix is the finaliser of SplitMix64: every bit of x reaches every bit out.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw hashes a key with a salt and up to two coordinates.
func draw(key, salt, a, b uint64) uint64 {
	return mix(mix(mix(key^salt)^a) ^ b)
}

// unit maps a draw to [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// textKey is FNV-1a: it only has to tell domains apart, mix does the spreading.
func textKey(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

// value is a token or secret of 16 bytes, shown as 32 hex digits like the ones
// in "OAuth", step 3.
type value [16]byte

func newValue(key, salt, a, b uint64) (v value) {
	hi := draw(key, salt, a, b)
	lo := mix(hi ^ mix(key^^salt))
	for i := range 8 {
		v[i], v[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	return v
}

func (v value) String() string { return hex.EncodeToString(v[:]) }

func (v value) append(b []byte) []byte { return hex.AppendEncode(b, v[:]) }

// parseValue accepts exactly what String writes.
func parseValue(s string) (v value, ok bool) {
	if len(s) != 2*len(v) {
		return v, false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return v, false
		}
	}
	_, err := hex.Decode(v[:], []byte(s))
	return v, err == nil
}
