// Package outbound has what every call to somebody else's host needs: the
// transport, the reading of Retry-After, and which hosts are this machine.
//
// # Invariants
//
//   - A transport verifies TLS, 1.2 or newer, against the system's roots unless
//     told others.
//   - A Retry-After is never believed for longer than ten minutes.
//
// # Non-goals
//
// Whom to call, and what an answer means (packages haravan and deliver). The
// health poll has a client of its own, which keeps no connection.
package outbound
