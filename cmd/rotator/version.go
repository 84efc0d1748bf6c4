package main

import (
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/migrations"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

// riverModule is the job queue, whose version decides what its tables look like.
const riverModule = "github.com/riverqueue/river"

// buildVersion is the release's version, or what the Go tool recorded.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// versions is the answer of `rotator version`.
type versions struct {
	Version     string `json:"version"`
	Commit      string `json:"commit,omitempty"`
	Modified    bool   `json:"modified,omitempty"`
	Go          string `json:"go"`
	Schema      int    `json:"schema_version"`
	River       string `json:"river_version"`
	RiverSchema int    `json:"river_schema_version"`
}

func readVersions() (versions, error) {
	v := versions{Version: buildVersion()}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
		for _, m := range info.Deps {
			if m.Path == riverModule {
				v.River = m.Version
			}
		}
	}
	var err error
	v.Schema, v.RiverSchema, err = migrations.Latest()
	return v, err
}

func newVersion(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Show the version of rotator, its schema and River",
		Long: `Show the version of this binary and of the schemas that it migrates to.

JSON: one object {version, commit, modified, go, schema_version, river_version,
river_schema_version}.`,
		Example: "  rotator version\n  rotator version --json",
		Args:    takesNone,
		RunE: func(*cobra.Command, []string) error {
			v, err := readVersions()
			if err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(v)
			}
			return c.printFacts(
				fact{"rotator", v.Version},
				fact{"commit", v.Commit},
				fact{"go", v.Go},
				fact{"schema", strconv.Itoa(v.Schema)},
				fact{"river", v.River},
				fact{"river schema", strconv.Itoa(v.RiverSchema)},
			)
		},
	}
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}
