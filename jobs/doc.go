// Package jobs is the engine: the River workers that walk the fleet, exchange
// and prove tokens in batches, try the few that failed again by themselves,
// check the tokens after the revoke, and the supervisor that moves a run from
// phase to phase.
//
// # What is true whatever dies
//
// A claim is committed before the call it allows, a token before it is proven,
// the proof together with the swap of the shop's token. Killed between a claim
// and its outcome, a shop is "unknown": the next holder of its batch exchanges
// it again under the same refresh token. The tables are the truth; River's jobs
// only carry it: a job names a batch and a grant, or an item and an attempt, and
// does nothing when the table says that it is superseded. Losing a job loses no
// work, running it twice doubles none.
//
// # What limits the speed
//
// One adaptive limit on the calls in flight per process (Pace), each process's
// share of the run's cap, a limiter per shop fed by the platform's headers, and
// the window: no call is begun that cannot be read to its end before the refresh
// token dies. A result counts only when the group it was flushed with has
// committed (Flusher).
//
// # What stops a wave
//
// Until the wire variant is pinned one attempt of all workers exchanges at a
// time (probe.go): the first canary shop finds it. A wave is released when the
// one before is within its budget and the app's health URL answers (health.go),
// and the first one after the canary only if the run then fits its window.
//
// # Non-goals
//
// No wire format (package haravan), no rule of when a phase may be left (package
// rotation), no statement (package store).
package jobs
