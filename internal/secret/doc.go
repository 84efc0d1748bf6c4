// Package secret holds values that must not be seen: a String that cannot be
// printed, and the Keyring that seals Strings into database columns.
//
// # Nouns
//
// A String wraps a token or a secret. A Column is the place where a sealed
// value lives: table, row and column name. A Keyring holds the keys: one
// primary that seals, older ones that still open, and one fingerprint key. A
// fingerprint is a short keyed digest by which two values can be compared, and
// named to an operator, without either being known.
//
// # Invariants
//
//   - No formatting, logging or encoding of a String or a Keyring shows what it
//     holds. Reveal is the only way out.
//   - Sealing is AES-256-GCM by Tink with the Column as associated data: a
//     ciphertext copied into another place does not open there.
//   - A sealed value names its key (Tink, "Wire format", output prefix TINK:
//     0x01 and four bytes of key id), so that the rows sealed by a key can be
//     counted and resealed.
//   - A key seals nothing before it is on disk, and no key ever leaves a keyring
//     file: without its key a sealed token is lost.
//   - The fingerprint key is independent of the sealing keys and does not
//     rotate, so fingerprints stay comparable for the life of the keyring.
//
// # Non-goals
//
// The keyring file is not itself encrypted: who can read the file can open the
// database's columns. Its protection is the owner-only mode that OpenKeyring
// insists on, and its being kept away from the database and its backups. Values
// are not wiped from memory. Other processes see a rotated keyring when they
// open it again, not before.
package secret
