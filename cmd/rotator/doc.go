// Command rotator is the operator's tool and the worker: one binary, commands
// of the form `rotator <noun> <verb>`, one file per noun.
//
// # Terminal rules
//
//   - stdout is the answer and nothing else: a pipe behind it gets clean data.
//     Everything a person reads on the way (progress, problems, notes, next
//     steps, logs, errors) goes to stderr.
//   - --json is on every command that prints facts. It prints one object, or
//     JSON Lines for a list. Names are snake_case and stable: fields are added,
//     never renamed or given another meaning. Errors stay text on stderr.
//   - An error is `rotator: what is wrong`, then, indented, what to do next. A
//     usage error shows the one usage line that would have been right, not the
//     whole help.
//   - Prompts appear only when stdin is a terminal, and on stderr. Without one a
//     command reads stdin, or fails and says which flag it wanted.
//   - Nothing is printed about work that takes less than two seconds. After
//     that a terminal sees one line that is rewritten; anything else (a log, a
//     pipe, CI) gets a plain line every five seconds.
//   - Colour is never the only carrier of a meaning; NO_COLOR and --no-color
//     switch it off, and there is none when stdout is not a terminal.
//   - Text from files, databases and hosts is stripped of control characters
//     before it reaches a terminal.
//   - SIGINT, SIGTERM and a hangup cancel what is under way; a second one kills.
//
// # Secrets
//
// Tokens and secrets enter by stdin, by a file or by a prompt without echo;
// never by a flag or an argument, which every user of the machine could read.
// They leave by `shop export` alone. Elsewhere they show as fingerprints.
//
// # Exit codes
//
// The table is in exit.go. Errors carry their code as a type; only run turns
// one into the process's exit code.
//
// # Non-goals
//
// No decisions: what may be done next is package rotation's, what is true is
// package store's. No interactive menus. No state between commands beyond the
// database, the keyring and the environment.
package main
