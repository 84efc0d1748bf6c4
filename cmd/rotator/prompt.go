package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// maxSecret bounds what is read: a whole file given by mistake is refused.
const maxSecret = 4 << 10

// readSecret reads a token or secret from the file, from stdin if that is "-"
// or a pipe, or by a prompt without echo. what names it in the prompt and in
// errors.
func (c *cli) readSecret(ctx context.Context, cmd *cobra.Command, what, file string) (secret.String, error) {
	text, err := c.readSecretText(ctx, what, file)
	if err != nil {
		return secret.String{}, fmt.Errorf("read the %s: %w", what, err)
	}
	value, err := cleanSecret(text)
	if err != nil {
		return value, usagef(cmd, "the %s %w", what, err)
	}
	return value, nil
}

func (c *cli) readSecretText(ctx context.Context, what, file string) ([]byte, error) {
	c.came() // from here on it waits for who types or pipes
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		c.warnReadable(f)
		return readBounded(f)
	}
	if f, ok := c.stdin.(*os.File); ok && isTerminal(f) {
		return c.prompt(ctx, f, what)
	}
	return readBounded(cancellable(ctx, c.stdin))
}

// warnReadable tells when others can read a file of secrets.
func (c *cli) warnReadable(f *os.File) {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		c.notef("rotator: others can read %s (mode %04o): run chmod 600 on it, or delete it once it is stored", printable(f.Name()), info.Mode().Perm())
	}
}

func readBounded(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxSecret+1)) }

// prompt reads a line without echo. The terminal is put back even when the
// command is interrupted while it waits.
func (c *cli) prompt(ctx context.Context, terminal *os.File, what string) ([]byte, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(c.stderr, "%s: ", what)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := readHidden(fd)
		answers <- answer{text, err}
	}()
	defer c.notef("")
	select {
	case a := <-answers:
		return a.text, a.err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}

// cleanSecret drops one line break at the end and refuses what cannot be a
// secret. Its errors never repeat the text.
func cleanSecret(text []byte) (secret.String, error) {
	s := string(text)
	s = strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
	switch {
	case len(text) > maxSecret:
		return secret.String{}, errors.New("is longer than 4 KiB: give the value and nothing else")
	case s == "":
		return secret.String{}, errors.New("is empty: give it by --file, by a pipe, or at the prompt")
	case !utf8.ValidString(s):
		return secret.String{}, errors.New("is not text")
	case strings.IndexAny(strings.TrimSpace(s), `{["`) == 0:
		return secret.String{}, errors.New("is a JSON document: give the value in it and nothing else, without quotation marks")
	case strings.ContainsFunc(s, unicode.IsSpace):
		return secret.String{}, errors.New("has white space in it: give the value and nothing else")
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return secret.String{}, errors.New("has characters that cannot be printed: give the value and nothing else")
	}
	return secret.New(s), nil
}
