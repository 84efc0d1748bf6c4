// Package operate is what a person may do to a run: plan, start, confirm a step,
// arm, pause, resume, cancel, retry, waive, tune, use another secret. Every surface
// goes through it, so that a gate cannot be walked around.
//
// Each operation reads the run's snapshot, asks package rotation whether it is
// allowed, and writes the decision with its journal entry in one transaction
// fenced by the phase it saw. What is not allowed comes back as a *Refused that
// names the unmet conditions and the next safe step.
//
// Plan and MakeMigrationPlan have no write path: they take a reader, which has
// none, and the command line gives a plan one on connections that PostgreSQL lets
// write nothing.
package operate
