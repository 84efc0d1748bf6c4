package house_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// compose is docker-compose.yml as its indentation shows it. It knows the few
// forms that the file uses, not YAML.
type compose struct {
	services, volumes []string
	needed, mounted   []string
	commands          []string
	// builds counts the entries that build an image, named those that name it.
	builds, named int
}

var (
	mount   = regexp.MustCompile(`^ +- ([a-z]+):/`)
	argv    = regexp.MustCompile(`^ +command: \["rotator", "([^\]]*)"\]$`)
	keyLine = regexp.MustCompile(`^( *)([a-z_-]+):`)
)

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	top, second, third := "", "", ""
	for line := range strings.SplitSeq(read(t, "docker-compose.yml"), "\n") {
		if strings.Contains(line, "\t") {
			t.Errorf("a tab in docker-compose.yml: %q", line)
		}
		if m := mount.FindStringSubmatch(line); m != nil {
			c.mounted = append(c.mounted, m[1])
		}
		if m := argv.FindStringSubmatch(line); m != nil {
			c.commands = append(c.commands, strings.ReplaceAll(m[1], `", "`, " "))
		}
		m := keyLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch len(m[1]) {
		case 0:
			top = m[2]
		case 2:
			second = m[2]
			if strings.HasPrefix(top, "x-") && second == "build" {
				c.builds++
			}
			if strings.HasPrefix(top, "x-") && second == "image" {
				c.named++
			}
			if top == "services" {
				c.services = append(c.services, second)
			} else if top == "volumes" {
				c.volumes = append(c.volumes, second)
			}
		case 4:
			third = m[2]
		case 6:
			if top == "services" && third == "depends_on" {
				c.needed = append(c.needed, m[2])
			}
		}
	}
	return c
}

func TestComposeHoldsTogether(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	if diff := gocmp.Diff([]string{"postgres", "prepare", "worker"}, c.services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	for _, s := range c.needed {
		if !slices.Contains(c.services, s) {
			t.Errorf("a service depends on %s, which is not there", s)
		}
	}
	slices.Sort(c.mounted)
	slices.Sort(c.volumes)
	if diff := gocmp.Diff(c.volumes, c.mounted); diff != "" || len(c.volumes) == 0 {
		t.Errorf("volumes that are declared (-) and mounted (+):\n%s", diff)
	}
	// Compose builds at once, and the second export to one name fails.
	if c.builds > 0 && c.named > 0 {
		t.Error("what is built has a name that both services would export to")
	}
	h := readHelp(t)
	if c.builds == 0 || len(c.commands) == 0 || len(c.needed) == 0 {
		t.Error("no image, command or dependency found: the search is broken")
	}
	for _, line := range c.commands {
		if m := h.mistake(line); m != "" {
			t.Errorf("docker-compose.yml runs rotator %s: %s", line, m)
		}
	}
}

// The image must hold what compose and the documents run in it.
func TestImageHoldsTheProgram(t *testing.T) {
	t.Parallel()
	docker := read(t, "Dockerfile")
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if version == nil || !strings.Contains(docker, "FROM golang:"+version[1]+" ") {
		t.Errorf("the Dockerfile does not build with the Go of go.mod, %v", version)
	}
	for _, want := range []string{"./cmd/rotator", "/usr/local/bin/rotator", "USER rotator", "ca-certificates"} {
		if !strings.Contains(docker, want) {
			t.Errorf("the Dockerfile has no %s", want)
		}
	}
}
