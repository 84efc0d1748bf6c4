package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/haravan-rotator/rotator/internal/pgembed"
)

// result is what a leg's own process says at its end.
type result struct {
	// Seconds that the leg took, by its own clock; 0 where the parent measures.
	Seconds float64 `json:"seconds"`
	// CPUSeconds is the process's user and system time.
	CPUSeconds float64 `json:"cpu_seconds"`
	// RSSMiB is the high-water mark of its resident memory.
	RSSMiB float64 `json:"rss_mib"`
	// cpu is what the leg's processes took while its clock ran.
	cpu cpu
}

// rate is in shops or rows per second.
func (r result) rate(n int) float64 { return float64(n) / r.Seconds }

// bench runs the legs, one at a time.
type bench struct {
	options
	cluster   *pgembed.Cluster
	databases int
}

func newBench(ctx context.Context, o options) (*bench, error) {
	cluster, err := pgembed.Ephemeral(ctx, pgembed.Options{
		Log: o.log,
		// A throw-away cluster does not wait for the disk; durable is measured.
		Settings: map[string]string{"fsync": "on", "full_page_writes": "on", "max_connections": "100"},
	})
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return &bench{options: o, cluster: cluster}, nil
}

// measure runs every leg and prints each line as soon as it is known.
func (b *bench) measure(ctx context.Context, stdout io.Writer) error {
	b.notef("%d CPUs, %d calls in flight", runtime.GOMAXPROCS(0), b.inflight)
	// The short legs come first: what a long one leaves for PostgreSQL to clean
	// up is not theirs.
	short, err := b.durable(ctx, b.few)
	if err != nil {
		return err
	}
	single, err := b.jobPerShop(ctx, b.few)
	if err != nil {
		return err
	}
	if err := printLine(stdout, "ratio durable/job-per-shop %.2f\n", short.rate(b.few)/single.rate(b.few)); err != nil {
		return err
	}
	before, err := b.bare(ctx, b.shops)
	if err != nil {
		return err
	}
	long, err := b.durable(ctx, b.shops)
	if err != nil {
		return err
	}
	after, err := b.bare(ctx, b.shops)
	if err != nil {
		return err
	}
	bareSeconds := (before.Seconds + after.Seconds) / 2
	if err := printLine(stdout, "ratio durable/bare %.2f\n", bareSeconds/long.Seconds); err != nil {
		return err
	}
	before.cpu.worker = (before.cpu.worker + after.cpu.worker) / 2
	before.cpu.simulator = (before.cpu.simulator + after.cpu.simulator) / 2
	if err := errors.Join(printCPU(stdout, "bare", b.shops, before.cpu), printCPU(stdout, "durable", b.shops, long.cpu)); err != nil {
		return err
	}
	if b.few != b.shops {
		if err := printLine(stdout, "rss_mib %d %.0f\n", b.few, short.RSSMiB); err != nil {
			return err
		}
	}
	if err := printLine(stdout, "rss_mib %d %.0f\n", b.shops, long.RSSMiB); err != nil {
		return err
	}
	if err := b.measureImport(ctx, stdout); err != nil {
		return err
	}
	return b.measureDeriving(ctx, stdout)
}

func (b *bench) measureImport(ctx context.Context, stdout io.Writer) error {
	part, err := b.importing(ctx, b.imported/10)
	if err != nil {
		return err
	}
	whole, err := b.importing(ctx, b.imported)
	if err != nil {
		return err
	}
	if err := printLine(stdout, "import_rows_per_s %.0f\n", whole.rate(b.imported)); err != nil {
		return err
	}
	if err := printLine(stdout, "rss_mib import %d %.0f\n", b.imported/10, part.RSSMiB); err != nil {
		return err
	}
	return printLine(stdout, "rss_mib import %d %.0f\n", b.imported, whole.RSSMiB)
}

func printLine(w io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// notef says how it goes; that nobody reads it is no error.
func (b *bench) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(b.log, format+"\n", args...)
}

func (b *bench) noteLeg(name string, n int, r result) {
	b.notef("%-12s %7d in %6.2f s: %6.0f/s, %5.1f s of CPU, %4.0f MiB", name, n, r.Seconds, r.rate(n), r.CPUSeconds, r.RSSMiB)
}
