// Package rotation holds the rules of a run as pure data and functions: the
// phases and the gates between them, the waves of a fleet, the arithmetic of
// the refresh token's window, the states of an item and the outcome classes.
//
// It does no I/O and has no clock of its own: every function takes the facts
// and the time it needs, and returns a decision. The engine (package jobs)
// carries decisions out and the store persists them, so that what rotator
// would do in any situation can be tested as a table.
//
// A run is of a kind: a rotation of the shared secret, or a token migration from
// legacy credentials (files named *_tokenmigration.go). Each has a course of its
// own through the phases; items, waves and classes are the same.
//
// Nouns: a run walks the fleet; its items are shops; a wave is a slice of the
// fleet released together; the window is the life of the refresh token; a gate
// is the list of conditions to leave a phase, each met or unmet with evidence.
package rotation
