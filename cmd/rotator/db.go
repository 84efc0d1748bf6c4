package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

func newDB(c *cli) *cobra.Command {
	return noun("db", "The database: its schema, and the private PostgreSQL",
		`rotator keeps everything in PostgreSQL: the one of DATABASE_URL, or else a
private one that it makes and runs in its data folder.`,
		newDBMigrate(c), newDBStatus(c), newDBStop(c))
}

// migrated is the answer of `db migrate`.
type migrated struct {
	From      int  `json:"schema_from"`
	To        int  `json:"schema_to"`
	RiverFrom int  `json:"river_schema_from"`
	RiverTo   int  `json:"river_schema_to"`
	Changed   bool `json:"changed"`
}

func newDBMigrate(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the schema to the version of this binary",
		Long: `Bring the schema of the database, and River's beside it, to the version that this
binary knows. Processes that migrate at once wait for each other. A database that
a newer rotator migrated is refused. The private PostgreSQL is migrated by any
command that uses it.

JSON: one object {schema_from, schema_to, river_schema_from, river_schema_to,
changed}.`,
		Example: "  rotator db migrate\n  DATABASE_URL=postgres://… rotator db migrate --json",
		Args:    takesNone,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.migrate(cmd.Context()) },
	}
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) migrate(ctx context.Context) error {
	pool, err := c.openDatabase(ctx, commandConns)
	if err != nil {
		return err
	}
	defer pool.Close()
	c.waiting("migrating the schema")
	before, err := migrations.Up(ctx, pool)
	if err != nil {
		return err
	}
	m := migrated{before.Version, before.Latest, before.RiverVersion, before.RiverLatest, !before.Current()}
	switch {
	case c.asJSON:
		return c.printJSON(m)
	case !m.Changed:
		return c.printf("Nothing to do: schema %d, River %d.\n", m.To, m.RiverTo)
	}
	return c.printf("Migrated: %s.\n", schemaSteps(before))
}

func schemaSteps(before migrations.Status) string {
	return fmt.Sprintf("schema %d to %d, River %d to %d", before.Version, before.Latest, before.RiverVersion, before.RiverLatest)
}

// dbStatus is the answer of `db status`. Pointers are null when nobody could be
// asked: the private PostgreSQL is not running.
type dbStatus struct {
	Database      string         `json:"database"`
	Private       *privateStatus `json:"private,omitempty"`
	Server        string         `json:"server_version,omitempty"`
	Bytes         *int64         `json:"database_bytes"`
	Schema        *int           `json:"schema_version"`
	SchemaLatest  int            `json:"schema_latest"`
	RiverSchema   *int           `json:"river_schema_version"`
	RiverLatest   int            `json:"river_schema_latest"`
	Migrated      bool           `json:"migrated"`
	schemaProblem error
}

// privateStatus describes the private PostgreSQL.
type privateStatus struct {
	State     pgembed.State `json:"state"`
	Dir       string        `json:"dir"`
	PID       int           `json:"pid,omitempty"`
	Version   string        `json:"version,omitempty"`
	StartedAt *time.Time    `json:"started_at,omitempty"`
	Bytes     int64         `json:"bytes"`
}

func newDBStatus(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Say where the database is and how it stands",
		Long: `Say which database is used, how large it is and whether its schema is current. It
changes nothing: a private PostgreSQL that is stopped stays stopped.

JSON: one object {database, private {state, dir, pid, version, started_at,
bytes}, server_version, database_bytes, schema_version, schema_latest,
river_schema_version, river_schema_latest, migrated}; private is left out when
DATABASE_URL is set. Exit code 78 if the schema does not fit this binary.`,
		Example: "  rotator db status\n  rotator db status --json",
		Args:    takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := c.inspectDB(cmd.Context())
			if err != nil {
				return err
			}
			return errors.Join(c.printDB(status), status.schemaProblem)
		},
	}
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

// inspectPrivate looks at the private PostgreSQL, whose folder may be named wrongly.
func inspectPrivate(ctx context.Context, dir string) (pgembed.Status, error) {
	s, err := pgembed.Inspect(ctx, dir)
	return s, misnamedFolder(err, dir)
}

// misnamedFolder says of an error about the private PostgreSQL in dir that the data
// folder is none.
func misnamedFolder(err error, dir string) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return exitWith(exitConfig, fmt.Errorf("look at PostgreSQL: %s is not a folder, or not in one", filepath.Dir(dir)), "check ROTATOR_DATA_DIR; `rotator help environment` explains it")
	}
	return err
}

func (c *cli) inspectDB(ctx context.Context) (dbStatus, error) {
	var s dbStatus
	cfg, err := c.settings()
	if err != nil {
		return s, err
	}
	if s.SchemaLatest, s.RiverLatest, err = migrations.Latest(); err != nil {
		return s, err
	}
	s.Database = "private"
	if cfg.DatabaseURL.IsZero() {
		p, err := inspectPrivate(ctx, privateDir(cfg))
		if err != nil {
			return s, err
		}
		s.Private = &privateStatus{State: p.State, Dir: p.Dir, PID: p.PID, Version: p.Version, Bytes: p.SizeBytes}
		if !p.StartedAt.IsZero() {
			s.Private.StartedAt = &p.StartedAt
		}
		if p.State != pgembed.Running {
			return s, nil
		}
	} else {
		for _, setting := range cfg.Describe() {
			if setting.Name == "DATABASE_URL" {
				s.Database = setting.Value
			}
		}
	}
	pool, err := c.openDatabase(ctx, commandConns)
	if err != nil {
		return s, err
	}
	defer pool.Close()
	facts, err := store.Server(ctx, pool)
	if err != nil {
		return s, err
	}
	s.Server, s.Bytes = facts.Version, &facts.Bytes
	schema, err := migrations.Check(ctx, pool)
	if err != nil && !errors.Is(err, migrations.ErrNotMigrated) && !errors.Is(err, migrations.ErrNewerSchema) {
		return s, err
	}
	s.Schema, s.RiverSchema = &schema.Version, &schema.RiverVersion
	s.Migrated, s.schemaProblem = err == nil, err
	return s, nil
}

func (c *cli) printDB(s dbStatus) error {
	if c.asJSON {
		return c.printJSON(s)
	}
	facts := []fact{{"database", s.Database}}
	if p := s.Private; p != nil {
		facts = append(facts, fact{"state", string(p.State)}, fact{"folder", p.Dir}, fact{"started", moment(p.StartedAt)})
		if p.PID != 0 {
			facts = append(facts, fact{"process", strconv.Itoa(p.PID)})
		}
		if p.Bytes > 0 {
			facts = append(facts, fact{"folder size", size(p.Bytes)})
		}
	}
	facts = append(facts, fact{"server", s.Server})
	if s.Bytes != nil {
		facts = append(facts,
			fact{"size", size(*s.Bytes)},
			fact{"schema", fmt.Sprintf("%d of %d", *s.Schema, s.SchemaLatest)},
			fact{"river schema", fmt.Sprintf("%d of %d", *s.RiverSchema, s.RiverLatest)})
	}
	return c.printFacts(facts...)
}
