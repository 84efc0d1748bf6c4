package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/haravan-rotator/rotator/internal/config"
)

// The groups in which `rotator help` lists the nouns.
const (
	groupRotate  = "rotate"
	groupFleet   = "fleet"
	groupMachine = "machine"
)

// commands is where a noun is registered: its constructor, under its group.
var commands = []struct {
	group string
	make  func(*cli) *cobra.Command
}{
	{groupRotate, newDemo},
	{groupRotate, newDrill},
	{groupRotate, newRotation},
	{groupRotate, newTokenMigration},
	{groupRotate, newWorker},
	{groupFleet, newApp},
	{groupFleet, newShop},
	{groupFleet, newSecret},
	{groupFleet, newDelivery},
	{groupFleet, newJournal},
	{groupMachine, newDB},
	{groupMachine, newKeyring},
	{groupMachine, newDoctor},
	{groupMachine, newCheck},
	{groupMachine, newSimulator},
	{groupMachine, newVersion},
}

// newRoot builds the whole command tree.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "rotator COMMAND",
		Short: "Rotate the credentials of a Haravan app over its whole fleet of shops",
		Long: `rotator exchanges the access tokens of every shop of a Haravan app under a new
shared secret inside the refresh token's one hour, proves each new token, and
tracks the steps until the old secret can be revoked.

Without DATABASE_URL it makes and runs a private PostgreSQL of its own.`,
		Example: `  rotator app set --name main --client-id CLIENT_ID
  rotator secret add --file current-secret.txt
  rotator shop import shops.csv
  rotator doctor`,
		Args:              cobra.ArbitraryArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,

		DisableFlagsInUseLine: true,
		PersistentPreRun:      func(cmd *cobra.Command, _ []string) { c.cmd = cmd },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknown(cmd, args[0])
		},
	}
	c.configFlags(root, true, "data-dir", "keyring", "actor", "log-level", "log-format", "no-color")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef(cmd, "%s", flagMistake(err))
	})
	// A noun's own usage line says all of cobra's second one.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]{{end}}", "", 1))
	root.AddGroup(
		&cobra.Group{ID: groupRotate, Title: "Rotate:"},
		&cobra.Group{ID: groupFleet, Title: "App, shops and secrets:"},
		&cobra.Group{ID: groupMachine, Title: "Machinery:"},
	)
	for _, entry := range commands {
		cmd := entry.make(c)
		cmd.GroupID = entry.group
		root.AddCommand(cmd)
	}
	root.SetHelpCommand(newHelp())
	root.AddCommand(environmentTopic(), exitCodeTopic())
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	completeFiles(root)
	return root
}

// flagMistake says in plain words what is wrong with a flag. It shows neither a
// value that may be a secret, nor the bundle that pflag shows for an unknown
// short flag, which may be a secret that begins with a hyphen.
func flagMistake(err error) string {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		f := invalid.GetFlag()
		return fmt.Sprintf("--%s %s: %s", f.Name, quoted(invalid.GetValue()), wantedValue(f.Value.Type(), invalid))
	}
	text, _, _ := strings.Cut(err.Error(), " in -")
	return text
}

// wantedValue says what a flag of that type takes.
func wantedValue(kind string, err error) string {
	switch kind {
	case "int", "int64", "uint", "uint64":
		if errors.Is(err, strconv.ErrRange) {
			return "the number is too large"
		}
		if strings.HasPrefix(kind, "uint") {
			return "write a whole number from 0 on"
		}
		return "write a whole number"
	case "float64":
		return "write a number"
	case "duration":
		return "write a duration, such as 90s, 15m or 1h30m"
	case "bool":
		return "leave the value away, or write true or false"
	}
	return "it cannot be read"
}

// newHelp replaces cobra's, which answers an unknown topic with success.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Explain a command or a topic",
		Long:    "Explain a command, or one of the topics environment and exit-codes.",
		Example: "  rotator help shop import\n  rotator help exit-codes",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			at, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range at.Commands() {
				if !sub.Hidden && strings.HasPrefix(sub.Name(), begun) {
					names = append(names, sub.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = errors.New("not found")
			}
			if err != nil {
				return usagef(cmd, "no help for %s: run `rotator help` for the list", quoted(strings.Join(args, " ")))
			}
			at.InitDefaultHelpFlag() // as --help shows it
			return at.Help()
		},
	}
}

func environmentTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("A flag beats the environment, which beats the default.\n")
	for _, v := range config.Variables() {
		fmt.Fprintf(&b, "\n  %s", v.Name)
		if v.Flag != "" {
			fmt.Fprintf(&b, " (--%s)", v.Flag)
		}
		fmt.Fprintf(&b, "\n      %s.", v.Meaning)
		if v.Default != "" {
			fmt.Fprintf(&b, "\n      Default: %s.", v.Default)
		}
		b.WriteByte('\n')
	}
	return &cobra.Command{
		Use: "environment", Short: "Environment variables",
		Long: strings.TrimSpace(b.String()),
	}
}

func exitCodeTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every command ends with one of these codes.\n\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "  %-3d %s\n", e.code, e.meaning)
	}
	return &cobra.Command{
		Use: "exit-codes", Short: "Exit codes",
		Long: strings.TrimSpace(b.String()),
	}
}
