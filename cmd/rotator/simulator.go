package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// simulatorFlags are the flags of `simulator`.
type simulatorFlags struct {
	listen, manage, clientID string
	shops, legacy, history   int
	seed                     uint64
	hostile, calm            bool
	latency, jitter          time.Duration
	remote, verbose          bool
}

func newSimulator(c *cli) *cobra.Command {
	var f simulatorFlags
	cmd := &cobra.Command{
		Use: "simulator", Short: "Imitate the platform on a port, awkward on purpose",
		Long: `Imitate the part of Haravan that a rotation meets, until SIGINT, SIGTERM or SIGHUP: the
token endpoint and shop.json on one port, the dashboard's actions (create a
secret, create a refresh token, revoke) on the management port. It answers about
four calls in a hundred badly and has some dead shops, unless it is --calm;
--seed makes all of it come again. With --legacy N the app knows the first N
shops by legacy tokens and passwords: what is derived from them is accepted once
the panel is switched to OAuth, or a test app is made.

At its end it tells every misuse: calls that a correct client never makes. The
exit code is then 4.

JSON Lines: one object {platform_url, management_url, client_id, shops, legacy,
seed, hostile} when it is ready, and one {misuse [text], misuse_total} at the end.`,
		Example: `  rotator simulator
  rotator simulator --shops 100000 --calm --latency 150ms --jitter 100ms
  rotator simulator --shops 50 --legacy 40 --calm
  rotator simulator --listen 127.0.0.1:0 --manage 127.0.0.1:0 --json`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.calm && cmd.Flags().Changed("hostile") && f.hostile {
				return usagef(cmd, "--hostile and --calm exclude each other")
			}
			f.hostile = f.hostile && !f.calm
			return c.simulate(cmd.Context(), f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.listen, "listen", "127.0.0.1:8790", "host:port of the platform; port 0 picks one")
	fs.StringVar(&f.manage, "manage", "127.0.0.1:8791", "host:port of the management; port 0 picks one")
	fs.IntVar(&f.shops, "shops", 1000, "shops in the fleet")
	fs.IntVar(&f.legacy, "legacy", 0, "of these, the first ones, with legacy credentials only")
	fs.Uint64Var(&f.seed, "seed", 1, "decides every token, fault and delay")
	fs.StringVar(&f.clientID, "client-id", "", "client id of the app (default: made from the seed)")
	fs.BoolVar(&f.hostile, "hostile", true, "a few calls in a hundred go wrong, a few shops are dead")
	fs.BoolVar(&f.calm, "calm", false, "nothing goes wrong by itself")
	fs.DurationVar(&f.latency, "latency", 0, "added to every call")
	fs.DurationVar(&f.jitter, "jitter", 0, "added to every call, up to this much more")
	fs.IntVar(&f.history, "history", 0, "calls to remember; 0 for 10,000, -1 for none")
	fs.BoolVar(&f.remote, "allow-remote", false, "let it listen on other addresses than loopback")
	fs.BoolVar(&f.verbose, "verbose", false, "log every call")
	c.jsonFlag(cmd, "print JSON Lines")
	return cmd
}

func (c *cli) simulate(ctx context.Context, f simulatorFlags) error {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	o := haravansim.Options{
		Seed: f.seed, App: haravansim.App{ClientID: f.clientID}, Shops: f.shops, Legacy: f.legacy,
		Latency: f.latency, Jitter: f.jitter, History: f.history, AllowRemote: f.remote,
		Log: slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: level})),
	}
	if f.hostile {
		o.Faults = haravansim.Hostile()
	}
	if err := o.Validate(); err != nil {
		return exitWith(exitUsage, err, "")
	}
	server, err := haravansim.Start(ctx, o, f.listen, f.manage)
	var address *haravansim.AddressError
	if errors.As(err, &address) {
		return exitWith(exitUsage, err, "--listen and --manage are host:port on loopback; with --allow-remote on any address")
	}
	if err != nil {
		return err
	}
	defer server.Close()
	if err := c.announceSimulator(server, f); err != nil {
		return err
	}
	<-ctx.Done()
	if err := server.Close(); err != nil {
		return err
	}
	return c.printMisuse(server.Sim)
}

func (c *cli) announceSimulator(s *haravansim.Server, f simulatorFlags) error {
	client := s.App().ClientID
	if c.asJSON {
		return c.printJSON(map[string]any{
			"platform_url": s.PlatformURL, "management_url": s.ManagementURL, "client_id": client,
			"shops": f.shops, "legacy": f.legacy, "seed": f.seed, "hostile": f.hostile,
		})
	}
	err := c.printFacts(
		fact{"platform", s.PlatformURL},
		fact{"management", s.ManagementURL},
		fact{"client id", client},
	)
	panel := ""
	if f.legacy > 0 {
		panel = fmt.Sprintf(`
  curl -s -X POST %[1]s/panel/test-app         # a test app: derived tokens are accepted
  curl -s -X POST %[1]s/panel/oauth            # switch the panel to OAuth`, s.ManagementURL)
	}
	c.notef(`
In another terminal, and in the worker's too, beside your own database:
  export ROTATOR_DATA_DIR="${TMPDIR:-/tmp}/rotator-simulated" ROTATOR_API_URL=%[1]s
  unset DATABASE_URL ROTATOR_KEYRING
Then:
  rotator app set --name main --client-id %[2]s --webhook-grace 1s
  curl -s '%[3]s/shops?format=csv' | rotator shop import -
  curl -s %[3]s/secrets                        # the secrets' values, version 1 is live
  curl -s -X POST %[3]s/secrets                # a new secret
  curl -s -X POST %[3]s/refresh-tokens         # a refresh token, good for one hour
  curl -s -X POST %[3]s/secrets/1/revoke       # revoke the old secret%[4]s
Afterwards rotator db stop, and the folder can be deleted. Stop the simulator with
Ctrl-C; it then tells what a correct client would not have done.`, s.PlatformURL, client, s.ManagementURL, panel)
	return err
}

func (c *cli) printMisuse(s *haravansim.Sim) error {
	words, total := s.Misuse(), s.Counts().Misuse
	var err error
	switch {
	case c.asJSON:
		if words == nil {
			words = []string{}
		}
		err = c.printJSON(map[string]any{"misuse": words, "misuse_total": total})
	case total == 0:
		err = c.printf("no misuse\n")
	default:
		for _, line := range words {
			if err = c.printf("misuse: %s\n", printable(line)); err != nil {
				return err
			}
		}
		err = c.printf("%s that a correct client never makes\n", plural(total, "call"))
	}
	if err == nil && total > 0 {
		return exitWith(exitExceptions, nil, "")
	}
	return err
}
