package pgembed

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// durableSettings are what a durable cluster runs with unless Options.Settings
// says otherwise. Source for each: PostgreSQL, "Server Configuration".
var durableSettings = map[string]string{
	// Shared memory files in the data folder: systemd removes those in /dev/shm
	// when the user logs out (logind.conf, RemoveIPC), and containers have 64 MB.
	"dynamic_shared_memory_type": "mmap",
	"log_checkpoints":            "off",
	"log_line_prefix":            "%m [%p] ",
	// A statement that failed would otherwise be copied into the log.
	"log_min_error_statement": "panic",
	"log_timezone":            "UTC",
	"max_connections":         "100",
	"timezone":                "UTC",
	"max_wal_size":            "2GB",
}

// ephemeralSettings go over durableSettings: nothing has to survive a crash of
// the machine, but what was committed has to survive one of the server. That
// forbids synchronous_commit = off, which loses commits with the server.
var ephemeralSettings = map[string]string{
	"fsync":            "off",
	"full_page_writes": "off",
	"max_connections":  "200",
}

// fixedSettings keep the cluster private and findable; Options.Settings must not
// touch them, nor movedSettings.
func fixedSettings(socketDir string) map[string]string {
	return map[string]string{
		"listen_addresses":        "",
		"port":                    "5432", // names the socket only
		"unix_socket_directories": socketDir,
		"unix_socket_permissions": "0700",
		"logging_collector":       "off", // the log is the server's standard error
		"ssl":                     "off",
	}
}

var movedSettings = []string{"config_file", "data_directory", "external_pid_file", "hba_file", "ident_file"}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// settingsFile writes the settings as a configuration file, later maps over
// earlier ones. Source: PostgreSQL, "Setting Parameters", "Parameter Names and
// Values" (quotes are doubled) and src/backend/utils/misc/guc-file.l (backslash
// escapes).
func settingsFile(socketDir string, layers ...map[string]string) (string, error) {
	fixed := fixedSettings(socketDir)
	merged := map[string]string{}
	for _, m := range layers {
		for name, value := range m {
			lower := strings.ToLower(name)
			if _, ok := fixed[lower]; ok || slices.Contains(movedSettings, lower) {
				return "", fmt.Errorf("set PostgreSQL's %s: it is fixed for a private cluster: leave it out", name)
			}
			if !settingName.MatchString(name) {
				return "", fmt.Errorf("set PostgreSQL's %q: not a parameter name", name)
			}
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) {
				return "", fmt.Errorf("set PostgreSQL's %s: the value has a control character", name)
			}
			merged[lower] = value
		}
	}
	maps.Copy(merged, fixed)

	var b strings.Builder
	b.WriteString("# Written by rotator at every start. Put your own settings into postgresql.auto.conf (ALTER SYSTEM).\n")
	quote := strings.NewReplacer(`\`, `\\`, `'`, `''`)
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, quote.Replace(merged[name]))
	}
	return b.String(), nil
}

// admission returns pg_hba.conf and pg_ident.conf: over the socket the OS user
// who made the cluster, and root, are the database user rotator; nobody else is
// admitted. Source: PostgreSQL, "Peer Authentication" and "User Name Maps".
func admission(owner string) (hba, ident string) {
	hba = "# Only the socket, only whom pg_ident.conf maps.\nlocal all all peer map=rotator\n"
	ident = "rotator root " + databaseUser + "\n"
	if owner != "root" {
		ident += fmt.Sprintf("rotator \"%s\" %s\n", strings.ReplaceAll(owner, `"`, `""`), databaseUser)
	}
	return hba, ident
}
