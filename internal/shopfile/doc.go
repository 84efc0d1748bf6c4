// Package shopfile reads and writes shop lists: the files with which a fleet
// enters rotator (`rotator shop import`) and leaves it (`rotator shop export`).
//
// A list is CSV (RFC 4180, with a header) or JSON Lines (one flat object a
// line, RFC 8259), in UTF-8. Both have the same columns: domain, access_token,
// org_id, legacy_token, legacy_password, installed_at, excluded_reason, priority.
// Only domain is always required; a row also needs a credential (access_token, or
// one of legacy_token and legacy_password) unless it says why the shop is
// excluded.
//
// Nouns: a row is one shop; a problem is one thing wrong with one row; a bad
// row has problems and is left out, and reading goes on; a file error means
// that nothing more can be understood, and reading ends.
//
// Invariants:
//   - Memory does not grow with the file: one record of at most 64 KiB is held
//     at a time, and Problems keeps the first 1,000 and counts the rest.
//   - Line numbers are those of a text editor, also after quoted line breaks.
//   - Every row of the file comes out, as a Row or as a *BadRow, in order. A
//     quote that is never closed costs its own line only and swallows no other.
//   - No problem and no error holds the value of a credential. A cell's text is
//     shown only where it cannot be one.
//   - Writer is the only place here that reveals a secret.
//   - Names are never guessed: a column "shop" is refused with the hint to call
//     it "domain", because a wrong guess would store wrong tokens silently.
//
// Non-goals: SQL, duplicates across rows (both are the store's), spreadsheets'
// own formats, other separators than the comma. Cells that a spreadsheet would
// take for a formula (=, +, -, @ in front) are written as they are: the file is
// for machines, and a token changed to be harmless in a spreadsheet would be a
// wrong token after the next import.
package shopfile
