package main

import (
	"fmt"
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
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "%s needs a verb: %s", cmd.CommandPath(), verbsOf(cmd))
			}
			return unknown(cmd, args[0])
		},
	}
	cmd.AddCommand(verbs...)
	return cmd
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

// quoted shows a word of the command line only if it looks like one of ours:
// it may be a secret that was pasted into the wrong place.
func quoted(word string) string {
	const most = 20
	plain := len(word) <= most && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && r != '-' && r != '_' && r != ' '
	})
	if !plain {
		return "(not shown)"
	}
	return `"` + word + `"`
}
