// Command bench measures what durability costs and how much memory it takes, as
// ratios and sizes of one run on one machine.
//
// # Nouns
//
// A leg is one measured pass over a fleet: bare (the platform's client in a
// loop, no database), durable (the engine), job-per-shop (one River job and one
// transaction per shop), import or derive (a token migration's derivation). A
// part is a process of its own that the bench starts from its own binary: the
// simulator, and the leg itself. Every leg has a simulator, unless it calls
// nobody, and a database of its own.
//
// # What makes the ratios fair
//
//   - Each leg makes the same two calls per shop, exchange and identity read,
//     with the same client, pool of connections and calls in flight.
//   - The bare leg runs before and after the durable one; the ratio is against
//     the mean of both, so that a machine that slows down favours neither.
//   - The clock of a durable leg runs from the arming to the phase proven: the
//     engine's ramp, waves, claims and group commits are all in it.
//   - PostgreSQL writes to disk as a durable one does (fsync on).
//   - A leg counts only if the simulator minted exactly one token for every shop
//     and saw no misuse, and the database has every shop proven: a leg that did
//     nothing cannot look fast.
//
// # CPU time
//
// The ratios are of wall clocks and swing with whatever else the machine does.
// The CPU time per shop of each kind of process, from the arming to the phase
// proven, hardly does (Linux, proc(5), /proc/pid/stat): a change of the engine
// is judged by it first. PostgreSQL's is that of all its processes.
//
// Memory is the high-water mark of the leg's process (VmHWM; Linux, proc(5)).
//
// # Non-goals
//
// No absolute speed: numbers of two machines are not compared. No faults, no
// latency: those are the tests' and the drill's.
package main
