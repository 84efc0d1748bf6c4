package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestCleanSecret(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want, fault string }{
		{"plain", "hush", "hush", ""},
		{"line break", "hush\n", "hush", ""},
		{"line break of Windows", "hush\r\n", "hush", ""},
		{"any printable text", "hÜsh-+/=~", "hÜsh-+/=~", ""},
		{"nothing", "", "", "is empty"},
		{"line break alone", "\n", "", "is empty"},
		{"JSON object", `{"secrets":["hush"]}`, "", "JSON document"},
		{"JSON list over lines", "\n[\n  \"hush\"\n]\n", "", "JSON document"},
		{"JSON string", `"hush"`, "", "JSON document"},
		{"brace inside", `hush{"`, `hush{"`, ""},
		{"white space alone", " \n", "", "white space"},
		{"two lines", "hush\nhush", "", "white space"},
		{"two line breaks", "hush\n\n", "", "white space"},
		{"space before", " hush", "", "white space"},
		{"no-break space", "hush\u00a0", "", "white space"},
		{"control character", "hu\x00sh", "", "cannot be printed"},
		{"byte order mark", "\ufeffhush", "", "cannot be printed"},
		{"not UTF-8", "hush\xff", "", "not text"},
		{"as long as allowed", strings.Repeat("x", maxSecret), strings.Repeat("x", maxSecret), ""},
		{"too long", strings.Repeat("x", maxSecret+1), "", "longer than 4 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := cleanSecret([]byte(tt.in))
			if got.Reveal() != tt.want {
				t.Errorf("got %q, want %q", got.Reveal(), tt.want)
			}
			if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("error %v, want %q", err, tt.fault)
			}
		})
	}
}

// progressSays reports what is not want of what work makes a progress say, in a
// bubble of synthetic time.
func progressSays(t *testing.T, want string, work func(*progress)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		work(newCLI(nil, nil, nil, &stderr).startProgress())
		if got := stderr.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestProgressKeepsQuietForTwoSeconds(t *testing.T) {
	t.Parallel()
	progressSays(t, "at 2s\nat 7s\nat 12s\n", func(p *progress) {
		for range 130 { // thirteen seconds
			p.sayf("at %s", time.Since(p.begun))
			time.Sleep(100 * time.Millisecond)
		}
		p.end()
	})
}

func TestProgressRewritesTheTerminalsLine(t *testing.T) {
	t.Parallel()
	progressSays(t, "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K", func(p *progress) {
		p.terminal = true
		time.Sleep(quietFor - 1)
		p.sayf("too early")
		time.Sleep(time.Nanosecond)
		p.sayf("one")
		p.sayf("too soon")
		time.Sleep(redrawEvery)
		p.sayf("two")
		p.end()
		p.end()
	})
}

// A line that wrapped could not be erased.
func TestProgressFitsANarrowTerminal(t *testing.T) {
	t.Parallel()
	progressSays(t, "\r\x1b[Kread 100…", func(p *progress) {
		p.terminal, p.width = true, 10
		time.Sleep(quietFor)
		p.sayf("read %d rows", 1_000_000)
	})
}

func TestProgressSaysWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	progressSays(t, "waiting for another, for 2s now\nwaiting for another, for 7s now\n", func(p *progress) {
		came := p.waits("waiting for %s", "nobody")
		time.Sleep(quietFor / 2)
		came()
		came()
		p.waits("it came at once")()
		came = p.waits("waiting for %s", "another")
		time.Sleep(quietFor + lineEvery + time.Second)
		came()
	})
}

func TestCancellableReads(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 20_000)
	if err := iotest.TestReader(cancellable(t.Context(), strings.NewReader(text)), []byte(text)); err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	got, err := io.ReadAll(cancellable(t.Context(), io.MultiReader(strings.NewReader("kept"), iotest.ErrReader(broken))))
	if string(got) != "kept" || !errors.Is(err, broken) {
		t.Errorf("got %q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent, _ := io.Pipe()
	r := cancellable(ctx, silent)
	go cancel()
	for range 2 {
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Cửa hàng số 1":  "Cửa hàng số 1",
		"a\x1b[31mb\r\n": "a·[31mb··",
		"a\tb":           "a b",
		"a\u202eb":       "a·b",
		"\xff":           "\ufffd",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 5 << 40: "5.0 TiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := size(in); got != want {
			t.Errorf("size(%d) = %s, want %s", in, got, want)
		}
	}
}

func TestQuotedShowsOnlyWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"imprt": `"imprt"`, "shop imprt": `"shop imprt"`,
		"10": `"10"`, "-1.5": `"-1.5"`, "30 days": `"30 days"`, "120%": `"120%"`, "180D": "(not shown)", "12345678": "(not shown)", "1a2b3c": "(not shown)",
		"a94a110d86d2452e": "(not shown)", "Hush": "(not shown)", strings.Repeat("a", 21): "(not shown)", "a\x1bb": "(not shown)",
	} {
		if got := quoted(in); got != want {
			t.Errorf("quoted(%q) = %s, want %s", in, got, want)
		}
	}
}
