// Package jobs is the engine: the River workers that walk the fleet, exchange
// (or derive) and prove tokens in batches, try the few that failed again by
// themselves, check the tokens after the revoke (or before the cutover), tell the
// app of its new tokens, and the
// supervisor that moves a run from phase to phase.
//
// # What is true whatever dies
//
// A claim is committed before the call it allows (a batch's pending shops with
// the batch), a token before it is proven, the proof together with the swap of
// the shop's token. Killed between a claim and its outcome, a shop is "unknown":
// the next holder of its batch exchanges it again under the same refresh token,
// unless it finds the token that was minted, which it proves. The tables are the truth; River's jobs
// only carry it: a job names a batch and a grant, or an item and an attempt, and
// does nothing when the table says that it is superseded. Losing a job loses no
// work, running it twice doubles none. Every run has queues of its own, so that
// none waits for another app's shops.
//
// What an app is told follows the same rule: a delivery is claimed before its
// request and committed after it, so that a token whose answer was lost is
// delivered again, under the same id, and no shop's is under way twice.
//
// # Token migrations
//
// Deriving asks nobody: all batches are released at once, each is read, derived
// and written in one transaction, and doing it twice derives the same. A check
// of derived tokens is a read without effect and needs no claim. After the
// cutover a shop is claimed, proven and swapped as in a rotation. As long as no
// derived token was accepted, refusals are the run's matter: three of them hold
// it, before the cutover and after it. A closed shop gets its token unproven,
// because nothing else is left once its legacy credential is gone.
//
// A job begins with a look at its run (Engine.run): it was sent by a change that
// this process may not have seen. Between looks every call asks what the last one
// has read, a tenth of a second ago at most.
//
// # Clocks
//
// Times are the database's. River works by its client's where it says when a job is
// due, so that it is given one that follows the database's (databaseClock).
//
// # What limits the speed
//
// One adaptive limit on the calls in flight per process (Pace), each process's
// share of the run's cap, a limiter per shop fed by the platform's headers, and
// the window: no call is begun that cannot be read to its end before the refresh
// token dies. A result counts only when the group it was flushed with has
// committed (Flusher); until then its shop holds no goroutine (crew). No exchange
// begins while the database takes no writes.
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
// No wire format (packages haravan and deliver), no rule of when a phase may be left (package
// rotation), no statement (package store).
package jobs
