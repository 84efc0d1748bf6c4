package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// appWords gives printed commands the name of the app that they are for, where
// the database has several: typed without it they would be refused. The zero
// appWords, for the only app, leaves them bare.
type appWords struct {
	app  string
	root *cobra.Command
}

func (c *cli) appWords(ctx context.Context, s *store.Store, app string) (appWords, error) {
	apps, err := s.Apps(ctx)
	if err != nil || len(apps) < 2 {
		return appWords{}, err
	}
	return appWords{app, c.cmd.Root()}, nil
}

// command completes a command line, if the command is one on an app.
func (w appWords) command(line string) string {
	words := strings.Fields(line)
	if w.root == nil || len(words) == 0 || words[0] != w.root.Name() {
		return line
	}
	cmd, _, err := w.root.Find(words[1:])
	if err != nil {
		return line
	}
	for _, flag := range []string{"app", "name"} { // app set calls it --name
		switch {
		case cmd.Flags().Lookup(flag) == nil:
		case slices.Contains(words, "--"+flag):
			return line
		default:
			return line + " --" + flag + " " + w.app
		}
	}
	return line
}

// quotedCommand is a command line in prose.
var quotedCommand = regexp.MustCompile("`rotator [^`]+`")

// text completes the command lines in prose.
func (w appWords) text(prose string) string {
	return quotedCommand.ReplaceAllStringFunc(prose, func(quoted string) string {
		return "`" + w.command(strings.Trim(quoted, "`")) + "`"
	})
}

func (w appWords) step(s rotation.Step) rotation.Step {
	s.Command, s.Why = w.command(s.Command), w.text(s.Why)
	return s
}

// status completes what a status says to type.
func (w appWords) status(st runStatus) runStatus {
	st.words, st.Next, st.HeldWhy = w, w.step(st.Next), w.text(st.HeldWhy)
	for i := range st.Gate {
		st.Gate[i].Evidence = w.text(st.Gate[i].Evidence)
	}
	return st
}
