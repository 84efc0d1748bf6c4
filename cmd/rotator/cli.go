package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/config"
	"github.com/haravan-rotator/rotator/store"
)

// cli is what one invocation shares: its streams, its flags, and the things
// that commands open when they need them.
type cli struct {
	env    []string // as os.Environ
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	cmd     *cobra.Command // the command that runs
	asJSON  bool           // --json
	appName string         // --app; "" means the only one
	words   appWords       // of the app that the command is about, once it is known
	waited  func()         // ends the wait that is told of; nil without one
	quiet   bool           // --quiet: no wait is told of

	// log writes to stderr; its format and level are the configuration's once
	// settings has been called.
	log *slog.Logger
	// actor is who acts, for the journal; set by settings.
	actor  string
	loaded *config.Config
}

func newCLI(env []string, stdin io.Reader, stdout, stderr io.Writer) *cli {
	return &cli{
		env: env, stdin: stdin, stdout: stdout, stderr: stderr,
		log: slog.New(slog.NewTextHandler(stderr, nil)),
	}
}

// configOf marks a flag that sets a configuration variable.
const configOf = "rotator/config"

// configFlags gives cmd the flags of that name that package config knows.
func (c *cli) configFlags(cmd *cobra.Command, inherited bool, names ...string) {
	flags := cmd.Flags()
	if inherited {
		flags = cmd.PersistentFlags()
	}
	for _, v := range config.Variables() {
		for _, name := range names {
			if v.Flag != name {
				continue
			}
			flags.String(name, "", v.Meaning+" ("+v.Name+")")
			f := flags.Lookup(name)
			f.Annotations = map[string][]string{configOf: {v.Name}}
			if name == "no-color" {
				f.NoOptDefVal = "true"
			}
		}
	}
}

// jsonFlag gives cmd --json; help says what is printed.
func (c *cli) jsonFlag(cmd *cobra.Command, help string) {
	cmd.Flags().BoolVar(&c.asJSON, "json", false, help)
}

// appFlag gives cmd --app.
func (c *cli) appFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.appName, "app", "", "name of the app (default: the only one)")
}

// settings loads the configuration once.
func (c *cli) settings() (config.Config, error) {
	if c.loaded != nil {
		return *c.loaded, nil
	}
	flags := config.Flags{}
	if c.cmd != nil {
		c.cmd.Flags().Visit(func(f *pflag.Flag) {
			if f.Annotations[configOf] != nil {
				flags[f.Name] = f.Value.String()
			}
		})
	}
	cfg, err := config.Load(c.env, flags)
	if err != nil {
		return cfg, exitWith(exitConfig, err, "`rotator help environment` explains each variable")
	}
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == config.LogJSON {
		c.log = slog.New(slog.NewJSONHandler(c.stderr, options))
	} else {
		c.log = slog.New(slog.NewTextHandler(c.stderr, options))
	}
	c.actor, c.loaded = cfg.Actor, &cfg
	return cfg, nil
}

// app is the app that --app names, or the only one.
func (c *cli) app(ctx context.Context, s *store.Store) (store.App, error) {
	a, err := s.App(ctx, c.appName)
	if errors.Is(err, store.ErrSeveralApps) || c.appName != "" && errors.Is(err, store.ErrNotFound) {
		err = exitWith(exitFailed, err, "`rotator app list` shows their names")
	}
	return a, err
}

// client makes the platform's client for an app: its own settings over the
// configuration's.
func (c *cli) client(a store.App) (*haravan.Client, error) {
	cfg, err := c.settings()
	if err != nil {
		return nil, err
	}
	hc, err := clientConfig(a, cfg.APIURL)
	if err != nil {
		return nil, err
	}
	return haravan.New(hc)
}

// screen returns the terminal of a stream on which text can be drawn over. One
// that says it is dumb shows the sequences for that instead of heeding them.
func (c *cli) screen(stream any) (*os.File, bool) {
	if slices.Contains(c.env, "TERM=dumb") || !isTerminal(stream) {
		return nil, false
	}
	return stream.(*os.File), true
}

// isTerminal reports whether a stream is one that a person sits at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
