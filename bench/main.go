package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if name := os.Getenv(partVariable); name != "" {
		os.Exit(runPart(ctx, name))
	}
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	shops, few, imported, derived, inflight int
	latency                                 time.Duration
	profile                                 string
	log                                     io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o := options{log: stderr}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	quick := fs.Bool("quick", false, "10,000 shops instead of 100,000, and an import and a derivation of 100,000 shops instead of 1,000,000")
	fs.IntVar(&o.shops, "shops", 100_000, "shops of the long legs")
	fs.IntVar(&o.few, "few", 10_000, "shops of the short legs: job-per-shop, and the lower end of the memory's line")
	fs.IntVar(&o.imported, "import", 1_000_000, "rows of the long import")
	fs.IntVar(&o.derived, "derive", 1_000_000, "shops of the long derivation")
	fs.IntVar(&o.inflight, "inflight", 256, "calls in flight")
	fs.DurationVar(&o.latency, "latency", 0, "mean time of a call at the simulated platform; 0 makes the processor the limit, the hardest case for durability")
	fs.StringVar(&o.profile, "cpuprofile", "", "folder for a CPU profile of each leg")
	if err := fs.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if *quick && !set["shops"] {
		o.shops = 10_000
	}
	if *quick && !set["import"] {
		o.imported = 100_000
	}
	if *quick && !set["derive"] {
		o.derived = 100_000
	}
	if fs.NArg() > 0 || o.few < 1 || o.shops < o.few || o.imported < 10 || o.derived < 10 || o.inflight < 1 {
		return fmt.Errorf("use --shops of at least --few, an --import and a --derive of at least 10 and no arguments: have %d, %d, %d, %d and %q", o.shops, o.few, o.imported, o.derived, fs.Args())
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o700); err != nil {
			return fmt.Errorf("make the folder of --cpuprofile: %w", err)
		}
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(b.measure(ctx, stdout), b.cluster.Close())
}
