// Package store owns every SQL statement of rotator, the rows that they read
// and write, the fences that keep late writers out, and the journal.
//
// # Sealed columns
//
// secrets.value, refresh_tokens.value, shops.access_token, shops.legacy_token,
// items.new_token, items.old_token, minted.tokens and receivers.key hold
// ciphertext, bound to the table, row and column they were sealed for. Each has
// its key's id beside it, or in its first bytes. No statement on them ever carries
// a token or a secret in the clear, so neither the database's log nor a dump of it
// can show one. An app's own table may hold plain tokens, which are parameters of
// statements then.
//
// # Fences
//
//   - A run changes its phase only from the phase that the decision saw.
//   - A batch is worked under a fence, raised each time a worker takes it. Taking
//     it claims its pending items without writing them; other items, and tokens
//     that are not proven yet, are written only under the batch's newest fence.
//   - An item's outcome is written only for the attempt that claimed it. Taking a
//     batch over gives every item of it that may have been sent a newer one.
//   - A shop's token is swapped only for the token generation that was read.
//   - A derived token is stored only while the run works and its batch is held;
//     derived_from names the legacy credential that it came from, so that one
//     that was replaced since is derived again.
//   - What an app answered is written only for the attempt that asked it, and
//     acknowledges no newer token than the one that was sent.
//
// A write that its fence keeps out changes nothing and is reported to the
// caller by name: it is never an error of the whole group it was flushed with.
//
// # Groups
//
// A token that is not proven yet is stored in a group of its batch (minted). It
// counts while its item is pending at the attempt before its own. Whoever takes
// over, leaves or cancels moves the tokens that count into their items first.
//
// # Token migrations
//
// A derived token lives in items.new_token, beside what the shop uses, until the
// proof after the cutover swaps it in. Before the cutover a cancel clears it
// (clearDerived); at the cutover waves and batches begin anew and grants from
// before it settle nothing (beginCutover). A scrub empties only legacy
// credentials of shops that the run has settled.
//
// # Bound tables
//
// A Binding names an app's own table of shops. Its definition is looked up in
// each transaction that uses it, its statements are built with quoted names, and
// its failures are *BoundFault: they say what to mend and hold no value. A row is
// written only while it is locked and holds the token that is replaced, in the
// transaction that proves the new one. A derived token is written only where the
// row has no token, with the item that keeps it (storeDerived); a cancel and a
// scrub empty rows in the pages that they empty here (clearDerivedRows, scrub).
//
// # Transactions
//
// InTx runs a closure that sees nothing but the transaction: no pool and no
// network call inside. One "now" per transaction: PostgreSQL's.
package store
