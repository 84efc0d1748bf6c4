// Package pgembed runs a private PostgreSQL made from the server programs that
// are on the machine: the default database when no DATABASE_URL is given, and
// the database of the tests.
//
// # Nouns
//
// A cluster is one data folder and the server that works on it. A durable
// cluster (Open) belongs to the OS user, keeps running after the process that
// started it, and is joined by every later one until Stop. An ephemeral cluster
// (Ephemeral) belongs to one process and is gone with it, however it dies. The
// account is the OS user that the server runs as.
//
// A cluster's folder holds data (PostgreSQL's own), run (the socket, unless the
// path would be too long for one or has a comma) and server.log. data.new-… is an initialisation
// that did not finish, removed by a later start.
//
// # Invariants
//
//   - The server listens on a Unix socket only, in a folder that only its
//     account can enter, and admits by peer authentication only the OS user who
//     made the cluster, and root.
//   - At most one process starts or stops a durable cluster at a time: the lock
//     is an flock on the cluster's folder, and dies with its holder.
//   - Whoever holds it waits for a server that does not answer, or does not begin to
//     stop, for seconds only. One that says that it recovers takes as long as it
//     takes.
//   - data appears by one rename after a complete initdb, so no crash leaves half
//     a cluster.
//   - A process id read from postmaster.pid is signalled only after the process
//     was seen to work in that very data folder: after a reboot the id may belong
//     to anyone.
//   - The server gets none of rotator's environment that could hold a secret, and
//     does not write statements into its log.
//
// # As root
//
// PostgreSQL refuses to run as root. The server then runs as the owner of the
// data folder, or for a new one as "postgres", or "nobody" where there is no
// such user. Other programs of that account can reach the files (tokens and
// secrets in them are sealed, the keyring is root's), but are not admitted.
//
// # Non-goals
//
// No download of PostgreSQL, no upgrade of a data folder to another major
// version, no replication, no backup, no sharing of a folder between machines or
// containers, no Windows.
package pgembed
