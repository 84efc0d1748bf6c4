// Package runbooks holds the operator's procedures, and tests that run the
// commands in them and in README.md as an operator would type them.
//
// Nouns: a document is a Markdown file; a step is a command in one of its
// console blocks with what is expected of it, or a comment that stands for
// something outside of the document: dashboard (hands on the Partners
// dashboard), meanwhile (time that passes). The situation is what the document
// finds when it begins: a fleet on the simulator, a database, and whatever went
// wrong.
//
// Invariants:
//
//   - Every document has a situation, and every one is run: no command in a
//     runbook is only believed.
//   - The commands run in a real shell, with the program as it is built, a real
//     PostgreSQL and the simulator in its hostile default.
//   - A document that expects what does not come fails, and so does one whose
//     form is not understood.
//   - A symptom that a runbook shows is one that the situation really has.
//
// Non-goals: prose. The tests see commands, not whether the words are good.
package runbooks
