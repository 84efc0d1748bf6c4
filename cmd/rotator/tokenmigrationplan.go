package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

func newMigrationPlan(c *cli) *cobra.Command {
	var version int
	cmd := &cobra.Command{
		Use: "plan [--secret-version N]", Short: "Tell what a token migration would do",
		Long: `Tell what a token migration would do with the stored shops, and what would keep it
from starting. plan reads every legacy value to see whether it can be what the
platform issued. It writes nothing and asks nobody, so it is safe at any moment.

The exit code is 0 when all is well, 4 when legacy values are malformed, and 6
when a start would be refused.

JSON: one object {app, shops, derive, passwords, malformed, malformed_shops[{domain,
problem}], have_oauth_token, have_neither, excluded, secret_version, secret_note,
vectors_pass, needed_scopes, missing_scopes, problems, next{command, why, human}}.`,
		Example: `  rotator tokenmigration plan
  rotator tokenmigration plan --secret-version 2 --json`,
		Args: takesNone,
	}
	cmd.Flags().IntVar(&version, "secret-version", 0, "version of the secret to derive from (default: the oldest not revoked)")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if version < 0 {
			return usagef(cmd, "--secret-version %d: versions are counted from 1", version)
		}
		return c.withApp(cmd.Context(), wantedRun{kind: rotation.KindTokenMigration}, func(o onRun) error {
			return c.planMigration(cmd.Context(), o, version)
		})
	}
	return cmd
}

func (c *cli) planMigration(ctx context.Context, o onRun, version int) error {
	p, err := operate.MakeMigrationPlan(ctx, o.store, o.app, version)
	if err != nil {
		return err
	}
	for i := range p.Problems {
		p.Problems[i] = o.words.text(p.Problems[i])
	}
	next := o.words.step(p.Next())
	if c.asJSON {
		err = c.printJSON(struct {
			App string `json:"app"`
			operate.MigrationPlan
			Next rotation.Step `json:"next"`
		}{o.app.Name, p, next})
	} else {
		err = c.printMigrationPlan(o.app.Name, p, next)
	}
	switch {
	case err != nil:
		return err
	case len(p.Problems) > 0:
		return exitWith(exitRefused, nil, "")
	case p.Malformed > 0:
		return exitWith(exitExceptions, nil, "")
	}
	return nil
}

func (c *cli) printMigrationPlan(app string, p operate.MigrationPlan, next rotation.Step) error {
	vectors, version := "pass", fmt.Sprintf("version %d", p.SecretVersion)
	if !p.Vectors {
		vectors = "FAIL"
	}
	if p.SecretVersion == 0 {
		version = "none"
	}
	if p.SecretNote != "" {
		version += ", " + p.SecretNote
	}
	err := c.printFacts(
		fact{"shops", strconv.Itoa(p.Shops)},
		fact{"to derive", plural(p.Derive, "legacy token")},
		fact{"unchanged", plural(p.Unchanged, "legacy password")},
		fact{"malformed", plural(p.Malformed, "legacy value")},
		fact{"skipped", fmt.Sprintf("%d have an OAuth token, %d have neither, %d are excluded", p.WithOAuth, p.Neither, p.Excluded)},
		fact{"secret", version},
		fact{"known answers", vectors},
		fact{"scopes", scopeWords(p.NeededScopes, p.MissingScopes, p.Derive+p.Unchanged, app)},
	)
	if err != nil {
		return err
	}
	for _, m := range p.MalformedShops {
		if err := c.printf("malformed: %s: %s\n", printable(m.Domain), m.Problem); err != nil {
			return err
		}
	}
	if more := p.Malformed - len(p.MalformedShops); more > 0 {
		if err := c.printf("malformed: and %s more\n", plural(more, "shop")); err != nil {
			return err
		}
	}
	for _, problem := range p.Problems {
		if err := c.printf("problem: %s\n", printable(problem)); err != nil {
			return err
		}
	}
	command := next.Command
	if command == "" {
		command = "nothing to do"
	}
	return c.printFacts(fact{"next", command}, fact{"why", next.Why})
}
