// Package house holds the tests that keep the repository as its documents say
// it is. It has no code of its own.
//
// Nouns: a room is a folder with one duty; its floor is how high it stands, and
// imports only fall to a lower floor; a claim is what a document says about the
// code: a command, a flag, an exit code, a variable, a dependency.
//
// Invariants kept here:
//
//   - Every package is a room on the list, and every room on the list exists.
//   - A room imports rooms on lower floors only. Packages store and haravan
//     stand on one floor, so neither imports the other.
//   - Package haravansim shares no code with package haravan, in tests neither:
//     two readings of one specification cannot share a mistake.
//   - Package rotation does no I/O and has no clock of its own.
//   - No document names a command, a flag, an exit code or an environment
//     variable that is not there, and none of the last two is left out.
//   - Every direct dependency has its reason in CONTRIBUTING.md.
//
// Non-goals: style (gofumpt and staticcheck), and whether the documents'
// commands work: package runbooks runs them.
package house
