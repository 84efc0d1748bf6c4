// Package config turns flags and environment variables into one Config.
//
// Nouns: a variable is one thing that can be set, by an environment variable
// and mostly by a flag too; its source is where the value in force came from; a
// mistake is one wrong value.
//
// Invariants:
//   - A flag beats the environment, which beats the default. A variable that is
//     set to nothing counts as not set, as compose files do it.
//   - Load reports every mistake at once, and says for each which variable, what
//     was found and what would be right.
//   - A variable with the prefix ROTATOR_ that rotator does not know is a
//     mistake: a misspelt setting that is silently ignored costs an outage.
//   - No mistake, no Setting and no printed Config holds a password. URLs other
//     than DATABASE_URL may hold neither user names nor queries, so that they
//     can be shown anywhere.
//   - Load looks at no file and no network but for what the PostgreSQL driver
//     looks up for DATABASE_URL (PG* variables, service and TLS files).
//
// Non-goals: configuration files; the app's own settings (client id, wire
// variants), which are in the database; secrets of the app, which enter by
// stdin, a file or a prompt, and never by the environment.
package config
