// Package deliver makes the one request by which an app learns of a shop's new
// token: it checks where the request may go, signs it, sends it once, and reads
// the answer. It follows the Standard Webhooks specification 1.0.0
// (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md), so
// that receivers can verify with that project's libraries.
//
// # Nouns
//
// A receiver is an app's own URL. A Key is what both sides sign and verify with.
// A Message is one shop's newest token. An Answer is what one try came to.
//
// # Invariants
//
//   - Tokens leave over TLS only, loopback aside, to the very URL that was set:
//     redirects are an answer, never followed.
//   - What is signed is what is sent, byte by byte.
//   - The id is the same for every try of one token and differs for the next; it
//     has no full stop, which separates what is signed.
//   - Nothing of an answer but its status and Retry-After is kept: its text could
//     repeat the token.
//   - A try ends within its deadline, and reads a bounded answer.
//
// # Non-goals
//
// When to try, whom to try first and when to leave off (package jobs), and what
// is due (package store).
package deliver
