package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
)

func newTokenMigration(c *cli) *cobra.Command {
	const k = rotation.KindTokenMigration
	return noun(k.Noun(), "Turn legacy credentials into OAuth tokens",
		`A token migration derives each shop's OAuth token from its legacy token, checks
the derived tokens, leads through the cutover of the app, and removes the legacy
credentials. Its phases:

  deriving → derived → checked → cutover → scrubbed → closed

Until the cutover nothing of it is in use, and `+"`rotator tokenmigration cancel`"+`
takes it back without a trace. There is no way back once the app is switched to
OAuth. `+"`rotator tokenmigration next`"+` says at any moment what a person has to do.`,
		newMigrationPlan(c), newMigrationStart(c), newRunStatus(c, k), newRunNext(c, k),
		about(newRunConfirm(c, k), confirmMigration, `  rotator tokenmigration confirm checked --note "orders of three shops read with the test app"
  rotator tokenmigration confirm cutover --app main --note "release 97, panel switched 10:04"
  rotator tokenmigration confirm scrubbed --app main --note "two days without an error"
  rotator tokenmigration confirm scrubbed --app main --note "two days without an error" --drop-column`),
		about(newRunPause(c, k), `Hold the run: no worker begins another call within a second, and calls in flight
finish. Tokens that are in use stay so.

JSON: one object `+movedJSON+`.`, ""),
		about(newRunResume(c, k), `Let a held run go on where it stood.

JSON: one object `+movedJSON+`.`, ""),
		about(newRunCancel(c, k), `End the run and take it back: the derived tokens are cleared, in the app's own
table too, and nothing else is touched. The run is held meanwhile; rows that are
locked make the command fail, and it is said again. What that means is said
first. After the cutover a run can only be finished.

JSON: one object `+movedJSON+`.`, ""),
		newRunRetry(c, k),
		about(newRunWaive(c, k), `Accept one shop as it is: parked, or waiting. The run no longer waits for it; its
legacy credential is removed with the others, so that it may have no working token
then. The reason is kept in the journal and in the certificate, with your name.

JSON: one object `+movedJSON+`.`, ""),
		about(newRunReport(c, k), reportMigration, `  rotator tokenmigration report
  rotator tokenmigration report --exceptions > exceptions.csv
  rotator tokenmigration report --consent > links-for-merchants.csv`),
		newRunExplain(c, k))
}

var confirmMigration = `Say that a human step is done, and enter its phase. PHASE is one of
` + named(humanPhases(rotation.KindTokenMigration)) + `.
The note says how you know; it is kept, with your name, as the evidence.

cutover and scrubbed cannot be undone: they want the app's name, with --app, with
--confirm or typed at the prompt. cutover says that the version of the app which
sends derived tokens is deployed and that the app is switched to OAuth in its
panel; a worker then proves every shop's token, a few first. scrubbed empties
every legacy token and password that the run has settled, those of waived shops
too, and the legacy column of the app's own table in their rows; with --drop-column
it drops that column, for which rotator's role must own the table, by a statement
that is shown first. closed shreds the copies of tokens that the run kept.

JSON: one object ` + movedJSON + `.`

const reportMigration = `Give the account of a run: the shops by outcome, what the check found, the scopes
that a derived token lacks, the exceptions by class with examples, the
certificate, the journal's head and every decision.

--exceptions lists instead every shop that was parked, skipped or waived, with the
link by which its merchant installs the app again, as CSV or with --json as JSON
Lines: {domain, state, class, words, detail, attempts, install_url}.

--consent lists instead every shop whose merchant must authorize the app again,
since the app needs more than a derived token may do: {domain, missing_scopes,
authorize_url}.

--timeline tells what happened when, by whom, as text, with --json as one object,
or with --csv as a table; its exit code is 0.

The exit code is 4 while shops are parked, else 0.

JSON: one object as of rotator rotation report, with migration{secret_version,
check_planned, check_done, check_alive, check_dead, legacy_left, legacy_only,
needed_scopes, missing_scopes, consent_shops}.`

// about replaces what a shared command says of itself where a token migration
// means something else; an empty example stays.
func about(cmd *cobra.Command, long, example string) *cobra.Command {
	cmd.Long = long
	if example != "" {
		cmd.Example = example
	}
	return cmd
}

// speak puts a kind's noun into the texts of a command that both have.
func speak(k rotation.Kind, cmd *cobra.Command) *cobra.Command {
	for _, text := range []*string{&cmd.Long, &cmd.Example} {
		*text = strings.ReplaceAll(*text, "rotator rotation ", "rotator "+k.Noun()+" ")
	}
	return cmd
}
