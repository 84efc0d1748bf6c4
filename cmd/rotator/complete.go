package main

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What names a file or a folder, for shell completion. Files are offered nowhere
// else: not where a shop or a run is meant.
var (
	fileFlags   = []string{"file", "output", "deliver-key-file", "deliver-key-new", "keyring"}
	folderFlags = []string{"data-dir"}
	// fileArguments are the commands whose only argument is a file.
	fileArguments = []string{
		"rotator journal verify", "rotator keyring create", "rotator keyring show", "rotator keyring verify", "rotator shop import",
	}
)

// completeFiles has the shell offer files where cmd, or a command under it,
// takes one.
func completeFiles(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		var err error
		switch {
		case slices.Contains(fileFlags, f.Name):
			err = cmd.RegisterFlagCompletionFunc(f.Name, offerFiles(cobra.ShellCompDirectiveDefault))
		case slices.Contains(folderFlags, f.Name):
			err = cmd.RegisterFlagCompletionFunc(f.Name, offerFiles(cobra.ShellCompDirectiveFilterDirs))
		}
		if err != nil {
			panic(err) // two completions for one flag: a mistake in this program
		}
	})
	if slices.Contains(fileArguments, cmd.CommandPath()) {
		cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	for _, sub := range cmd.Commands() {
		completeFiles(sub)
	}
}

func offerFiles(which cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return nil, which }
}
