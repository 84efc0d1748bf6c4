package main

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// cpu is the CPU time, user and system, that the processes of a leg took while
// its clock ran. It is the ratio's numerator and denominator without the noise:
// other work on the machine hardly changes it.
type cpu struct{ worker, postgres, simulator time.Duration }

// cpuSince reads what the processes have taken by now, less than before. A
// process id of 0 takes nothing.
func cpuSince(before cpu, worker, postgres, simulator int) (cpu, error) {
	var failed error
	read := func(pid int, before time.Duration) time.Duration {
		if pid == 0 {
			return 0
		}
		took, err := familyCPU(pid)
		failed = errors.Join(failed, err)
		return took - before
	}
	c := cpu{read(worker, before.worker), read(postgres, before.postgres), read(simulator, before.simulator)}
	return c, failed
}

// printCPU prints a leg's CPU time per shop, a line for each kind of process.
func printCPU(w io.Writer, leg string, shops int, c cpu) error {
	for _, p := range []struct {
		name string
		took time.Duration
	}{{"worker", c.worker}, {"postgres", c.postgres}, {"simulator", c.simulator}} {
		if p.took == 0 {
			continue // the leg has no such process
		}
		if err := printLine(w, "cpu_us_per_shop %s %s %.1f\n", leg, p.name, float64(p.took.Microseconds())/float64(shops)); err != nil {
			return fmt.Errorf("%s: %w", leg, err)
		}
	}
	return nil
}
