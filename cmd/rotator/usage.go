package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// usagef is a mistake in cmd's command line; it shows the line that cmd takes.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return exitWith(exitUsage, fmt.Errorf(format, args...), "usage: "+cmd.UseLine())
}

// takesNone refuses arguments.
func takesNone(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "%s takes no argument", cmd.CommandPath())
	}
	return nil
}

// takes wants exactly one argument; name is how the usage line calls it.
func takes(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usagef(cmd, "%s needs %s", cmd.CommandPath(), name)
		case 1:
			return nil
		}
		return usagef(cmd, "%s takes one %s: found %d arguments", cmd.CommandPath(), name, len(args))
	}
}

// mayTake wants at most one argument.
func mayTake(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef(cmd, "%s takes at most one %s: found %d arguments", cmd.CommandPath(), name, len(args))
		}
		return nil
	}
}

// noun makes a command that only groups verbs.
func noun(use, short, long string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " VERB", Short: short, Long: long,
		DisableFlagsInUseLine: true,
		Args:                  cobra.ArbitraryArgs,
		RunE:                  verbWanted("a verb"),
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// verbWanted refuses a command line that ends at a noun, or goes on with a word
// that it does not have.
func verbWanted(what string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef(cmd, "%s needs %s: %s", cmd.CommandPath(), what, verbsOf(cmd))
		}
		return unknown(cmd, args[0])
	}
}

func verbsOf(cmd *cobra.Command) string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return strings.Join(names, ", ")
}

// unknown says that cmd has no such subcommand, and what was probably meant.
func unknown(cmd *cobra.Command, word string) error {
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return usagef(cmd, "unknown command %s for %q: did you mean %s?", quoted(word), cmd.CommandPath(), strings.Join(near, " or "))
	}
	return usagef(cmd, "unknown command %s for %q: it has %s", quoted(word), cmd.CommandPath(), verbsOf(cmd))
}

// plainNumber is a number, with a unit perhaps.
var plainNumber = regexp.MustCompile(`^[+-]?[0-9]{1,7}([.,][0-9]{1,3})? ?([a-z]{0,4}|%)$`)

// quoted shows a word of the command line only if it looks like one of ours, or
// is a short number: it may be a secret that was pasted into the wrong place.
func quoted(word string) string {
	const most = 20
	plain := len(word) <= most && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && r != '-' && r != '_' && r != ' '
	})
	if !plain && !plainNumber.MatchString(word) {
		return "(not shown)"
	}
	return `"` + word + `"`
}

// completesShells makes a noun of cobra's command for completion, which answers
// every mistake with its help and success.
func completesShells(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Use, cmd.DisableFlagsInUseLine = "completion SHELL", true
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, verbWanted("a shell")
		}
	}
}
