// Package haravansim imitates the part of Haravan that a credential rotation
// meets, and makes it awkward on purpose: every call may be throttled, broken,
// lost after it took effect, or answered in one of the ways that nobody outside
// Haravan can rule out.
//
// Nouns: the fleet is Options.Shops shops named shop-000001.myharavan.com and
// on, all of which installed the App under secret version 1; a knob settles one
// question that the documents leave open; a fault is one bad answer, drawn by
// rate or put in a script; misuse is a call that a correct client never makes.
// The platform port is Haravan, the management port is the Partners dashboard
// and the test's own hands.
//
// Invariants:
//
//   - An access token is pinned to the secret that minted it and dies with it
//     ("API Credential Rotation", step 6: "revoking any secret will also remove
//     the access tokens associated with it").
//   - A refresh token serves every shop of the app for one hour (step 4).
//   - Everything follows from the seed. A fault is drawn from hash(seed, shop,
//     operation, n) for the n-th call of that operation to that shop, never from
//     a shared generator, so requests may interleave in any order and each shop
//     meets the same faults. The n-th token of a shop has the same bytes in
//     every run for the same reason. Calls that the bucket refuses, and misuse,
//     do not advance n.
//   - Misuse is answered with an error and also recorded: a test that looks at
//     Sim.Misuse sees what a lenient platform would have let pass.
//   - A shop costs a pointer until it is first called, and a small record after.
//
// An app may have begun with legacy credentials (Options.Legacy): the OAuth token
// that follows from a shop's is derived here by a reading of its own, is taken
// only once the panel was switched or a test app made, is pinned to the first
// secret, and carries seven scopes, as do the tokens exchanged for it.
//
// A trap kept from the platform: an exchange that presents the old secret while
// it is still live succeeds, and the new token is pinned to the old secret. It
// dies at the revoke. Totals.MintedUnderOld counts these.
//
// The package reads the same documents as package haravan and shares no code
// with it, so that one misreading cannot satisfy both.
//
// Non-goals: the authorize page, the admin API beyond shop.json, gen-2 hosts,
// sending webhooks, TLS, persistence, and any security: tokens come from a fast
// mixing function and the management port shows them to whoever asks. It listens
// on loopback only, unless told otherwise.
package haravansim
