package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
)

// partVariable names, in the environment of a part, which one it is.
const partVariable = "ROTATOR_BENCH_PART"

// partIO is a part's line to its parent: JSON values, one a line. The end of
// the input means stop, so that no part outlives the bench however that dies.
type partIO struct {
	in  *json.Decoder
	out *json.Encoder
}

var parts = map[string]func(context.Context, partIO) error{
	"simulator":    simulatorPart,
	"bare":         barePart,
	"durable":      durablePart,
	"job-per-shop": jobPerShopPart,
	"import":       importPart,
	"derive":       durablePart,
}

// runPart is the main of a part; it returns the exit code.
func runPart(ctx context.Context, name string) int {
	part, ok := parts[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "bench: there is no part %q\n", name)
		return 2
	}
	// As `rotator worker` does; the bare loop and the baseline get the same.
	debug.SetGCPercent(600)
	pipe := partIO{json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)}
	if err := profiled(os.Getenv(profileVariable), func() error { return part(ctx, pipe) }); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", name, err)
		return 1
	}
	return 0
}

// profileVariable names the file of a part's CPU profile; unset for none.
const profileVariable = "ROTATOR_BENCH_PROFILE"

func profiled(path string, fn func() error) error {
	if path == "" {
		return fn()
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = fn()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// stopped waits for the parent to close the input.
func (p partIO) stopped(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var nothing json.RawMessage
		_ = p.in.Decode(&nothing) // the parent sends nothing more: this is the end
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// process is a part as its parent sees it.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	// exited is closed when the part has ended, with err.
	exited chan struct{}
	err    error
}

// alive is a context that ends with the part: what it alone could bring about
// is waited for no longer.
func (p *process) alive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// begin starts a part and sends it what it needs.
func (b *bench) begin(ctx context.Context, name string, spec any) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the bench's own binary: %w", err)
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), partVariable+"="+name)
	if b.profile != "" && name != "simulator" {
		cmd.Env = append(cmd.Env, profileVariable+"="+filepath.Join(b.profile, fmt.Sprintf("%s-%d.pprof", name, b.databases)))
	}
	cmd.Stderr = b.log
	p := &process{name: name, cmd: cmd, exited: make(chan struct{})}
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	// A pipe of our own: waiting for the part must not cut off what it said.
	out, said, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd.Stdout, p.out = said, json.NewDecoder(out)
	err = errors.Join(cmd.Start(), said.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), out.Close())
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := json.NewEncoder(p.in).Encode(spec); err != nil {
		return nil, errors.Join(fmt.Errorf("brief %s: %w", name, err), p.end())
	}
	return p, nil
}

// pid is the part's process id.
func (p *process) pid() int { return p.cmd.Process.Pid }

// hear reads the part's next value.
func (p *process) hear(into any) error {
	if err := p.out.Decode(into); err != nil {
		return errors.Join(fmt.Errorf("%s said nothing more: %w", p.name, err), p.end())
	}
	return nil
}

// end lets the part stop and waits for it. A part that has ended is fine.
func (p *process) end() error {
	_ = p.in.Close() // it may have ended already
	<-p.exited
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// finish stops the part and takes its result.
func (p *process) finish() (result, error) {
	var r result
	if err := p.in.Close(); err != nil {
		return r, errors.Join(err, p.end())
	}
	if err := p.hear(&r); err != nil {
		return r, err
	}
	return r, p.end()
}
