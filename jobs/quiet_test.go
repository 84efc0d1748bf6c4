package jobs

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestARepeatedMessageIsSaidOnceInAWhile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var h slog.Handler = newSparing(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
	begin := time.Now()
	say := func(h slog.Handler, after time.Duration, message string, attrs ...slog.Attr) {
		t.Helper()
		r := slog.NewRecord(begin.Add(after), slog.LevelWarn, message, 0)
		r.AddAttrs(attrs...)
		if err := h.Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	say(h, 0, "away")
	say(h, time.Second, "away")
	say(h.WithAttrs([]slog.Attr{slog.String("of", "another")}), 2*time.Second, "away")
	say(h, 3*time.Second, "slow")
	say(h, 4*time.Second, "failed", slog.String("job_kind", "walk"))
	say(h, 5*time.Second, "failed", slog.String("job_kind", "check"))
	say(h, sparingEvery, "away")
	say(h, 2*sparingEvery, "away")
	want := []string{"msg=away", "msg=slow", "msg=failed job_kind=walk", "msg=failed job_kind=check", "msg=away kept_back=2", "msg=away"}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("said %q, want %q", got, want)
	}
}
