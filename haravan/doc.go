// Package haravan is the client of the Haravan platform: the calls that a
// rotation makes, the signatures that it checks, and the one reading of
// everything that the platform may answer.
//
// Nouns:
//   - A Client holds the one tuned transport of the process. Exchange asks for
//     a shop's new access token under the new secret (Haravan, API Credential
//     Rotation, step 5); Identity reads whose token it is (shop.json).
//   - A Wire is one spelling of the exchange: the platform's documents
//     disagree about the secret's parameter, the path and the body.
//   - An Error carries the outcome class (rotation.Class), and whether the
//     platform may have acted although no answer says so. Every error that
//     Exchange and Identity return is an *Error.
//   - DeriveToken computes the OAuth token that follows from a legacy one; it
//     calls nobody, and CheckVectors compares it with known answers.
//   - A Verdict is what Classify makes of one answer, without any I/O:
//     everything that this package believes about answers is in that function.
//
// Invariants:
//   - Credentials travel in bodies and in the Authorization header, never in a
//     URL, and only to name.myharavan.com or to the one configured base URL.
//     Redirects are not followed.
//   - TLS is at least 1.2 and always verified; plain http goes to loopback only.
//   - At most 64 KiB of an answer are read, and each call has a deadline.
//   - No error holds a secret: errors are built from fixed words and from text
//     in which every credential of that call is masked, however it is encoded.
//   - One call is one request. The only repetition is the transport's own, on a
//     kept-alive connection found closed before any byte was written, or for
//     the harmless GET.
//
// Non-goals: retries, pacing and rate limiting belong to the engine, which
// knows the window and the fleet; storing what was returned belongs to the
// store. OpenID Connect (accounts.haravan.com) is not spoken here.
package haravan
