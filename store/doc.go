// Package store owns every SQL statement of rotator, the rows that they read
// and write, the fences that keep late writers out, and the journal.
//
// # Sealed columns
//
// secrets.value, refresh_tokens.value, shops.access_token, shops.legacy_token,
// items.new_token, items.old_token and receivers.key hold ciphertext, bound to
// the table, row and column they were sealed for. Each has its key's id beside it, or in its
// first bytes. No statement ever carries a token or a secret in the clear, so
// neither the database's log nor a dump of it can show one.
//
// # Fences
//
//   - A run changes its phase only from the phase that the decision saw.
//   - A batch is worked under a fence, raised each time a worker takes it;
//     items are claimed only under the batch's newest fence.
//   - An item's outcome is written only for the attempt that claimed it.
//   - A shop's token is swapped only for the token generation that was read.
//   - What an app answered is written only for the attempt that asked it, and
//     acknowledges no newer token than the one that was sent.
//
// A write that its fence keeps out changes nothing and is reported to the
// caller by name: it is never an error of the whole group it was flushed with.
//
// # Transactions
//
// InTx runs a closure that sees nothing but the transaction: no pool and no
// network call inside. One "now" per transaction: PostgreSQL's.
package store
