package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// prefix is that of rotator's own environment variables.
const prefix = "ROTATOR_"

// Source is where a value came from.
type Source string

// The sources, the weakest first.
const (
	SourceDefault     Source = "default"
	SourceEnvironment Source = "environment"
	SourceFlag        Source = "flag"
)

// Variable describes something that can be set.
type Variable struct {
	// Name is the environment variable.
	Name string `json:"name"`
	// Flag is the flag without dashes; empty if there is none.
	Flag string `json:"flag,omitempty"`
	// Default says what is in force when nothing is set; empty means nothing.
	Default string `json:"default,omitempty"`
	// Meaning is one sentence for the operator.
	Meaning string `json:"meaning"`
}

// Setting is a variable with the value in force, fit to be shown.
type Setting struct {
	Variable
	Value  string `json:"value"`
	Source Source `json:"source"`
}

type variable struct {
	Variable
	// fallback is the default where it depends on nothing.
	fallback string
	// compute is the default where it does. Variables above are known then.
	compute func(c *Config, env map[string]string, h host) string
	// accept checks and keeps a value, "" included; it returns what is wrong.
	accept func(c *Config, value string, source Source) string
	// found shows a wrong value; nil means quoted and cut.
	found func(value string) string
	// show gives the value in force, without secrets.
	show func(c *Config) string
}

// Variables lists what can be set, for help texts.
func Variables() []Variable {
	all := make([]Variable, len(variables))
	for i, v := range variables {
		all[i] = v.Variable
	}
	return all
}

// Describe lists the settings in force, for printing; passwords are left out.
func (c Config) Describe() []Setting {
	all := make([]Setting, len(variables))
	for i, v := range variables {
		all[i] = Setting{Variable: v.Variable, Value: v.show(&c), Source: c.sources[v.Name]}
	}
	return all
}

func (v *variable) lookup(env map[string]string, flags Flags) (string, Source) {
	if value, ok := flags[v.Flag]; ok && v.Flag != "" {
		if value == "" {
			return "", SourceDefault
		}
		return value, SourceFlag
	}
	if value := env[v.Name]; value != "" {
		return value, SourceEnvironment
	}
	return "", SourceDefault
}

func (v *variable) initial(c *Config, env map[string]string, h host) string {
	if v.compute != nil {
		return v.compute(c, env, h)
	}
	return v.fallback
}

func (v *variable) take(c *Config, value string, source Source) error {
	want := stray(value)
	if want == "" {
		want = v.accept(c, value, source)
	}
	if want == "" {
		return nil
	}
	m := &Mistake{Variable: v.Name, Want: want}
	if source == SourceFlag {
		m.Variable = "--" + v.Flag
	}
	switch {
	case value == "":
	case v.found != nil:
		m.Found = v.found(value)
	default:
		m.Found = quoted(value)
	}
	return m
}

// stray says what no value has: it would end up in a path or a host name.
func stray(value string) string {
	switch {
	case !utf8.ValidString(value):
		return "is not UTF-8"
	case strings.TrimSpace(value) != value:
		return "has white space around it: remove it"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "has control characters: remove them"
	}
	return ""
}

// quoted shows at most 60 characters.
func quoted(value string) string {
	const most = 60
	if runes := []rune(value); len(runes) > most {
		return fmt.Sprintf("%q…", string(runes[:most]))
	}
	return fmt.Sprintf("%q", value)
}
