package main

import (
	"context"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

const (
	// demoEvery spaces the looks at the run, stretched so that looking takes no
	// more than a fifth of the time.
	demoEvery = 100 * time.Millisecond
	// demoResumes is how often the demo closes an open breaker.
	demoResumes = 3
)

// follow shows the run until done, and does on the way what it waits for.
func (d *demo) follow(ctx context.Context, done func(runStatus) bool) (runStatus, error) {
	reader := &statusReader{store: d.on.store, run: d.on.run.ID}
	events := &demoEvents{run: d.on.run.ID}
	for {
		begin := time.Now()
		st, err := reader.read(ctx)
		if err != nil {
			return st, err
		}
		if err := events.read(ctx, d.on.store); err != nil {
			return st, err
		}
		d.screen.show(st, events.last)
		if done(st) {
			return st, nil
		}
		if err := d.unblock(ctx, st); err != nil {
			return st, err
		}
		select {
		case <-ctx.Done():
			return st, fmt.Errorf("follow the run: %w", ctx.Err())
		case err := <-d.failed:
			return st, err
		case <-time.After(max(demoEvery, 4*time.Since(begin))):
		}
	}
}

// unblock is the operator's part while the run is on its way.
func (d *demo) unblock(ctx context.Context, st runStatus) error {
	if st.Held != nil {
		return d.release(ctx, st)
	}
	if st.Phase == rotation.PhaseExchanging && st.Items.Total > 0 && st.Items.Open() == 0 && st.Items.Parked > 0 {
		return d.settleParked(ctx)
	}
	return nil
}

// release ends a hold that an operator can end.
func (d *demo) release(ctx context.Context, st runStatus) error {
	switch *st.Held {
	case rotation.HeldWindowExpired:
		return d.arm(ctx)
	case rotation.HeldBreakerOpen:
		if d.resumed++; d.resumed <= demoResumes {
			d.screen.sayf("The breaker opened (%s); the operator looked, and resumes", inline(st.HeldWhy))
			return d.on.op.Resume(ctx, d.on.run.ID)
		}
	}
	return fmt.Errorf("the run is held (%s): %s", *st.Held, st.HeldWhy)
}

// settleParked tries parked shops once more; those that park again are waived,
// each by its name.
func (d *demo) settleParked(ctx context.Context) error {
	if !d.retried {
		d.retried = true
		n, err := d.on.op.Retry(ctx, d.on.run.ID, "", "")
		d.screen.sayf("%s parked; the operator looked, and tries once more", plural(int(n), "shop"))
		return err
	}
	return d.on.eachItem(ctx, []rotation.ItemState{rotation.ItemParked}, func(i store.ItemInfo) (bool, error) {
		d.screen.sayf("Waived by name: %s (%s: %s)", i.Domain, i.Class, inline(i.Detail))
		return true, d.on.op.Waive(ctx, d.on.run.ID, i.Domain, "demo: still parked after another try: "+string(i.Class))
	})
}

// demoEvents are the last lines of a run's journal.
type demoEvents struct {
	run, seq int64
	last     []string
}

// demoEventsShown is how many of them are shown.
const demoEventsShown = 4

func (e *demoEvents) read(ctx context.Context, s *store.Store) error {
	return s.Journal(ctx, e.seq, e.run, func(entry store.Entry) error {
		e.seq = entry.Seq
		e.last = append(e.last, fmt.Sprintf("%s  %s  %s", entry.At.Local().Format(time.TimeOnly), entry.Actor, entry.Event))
		e.last = e.last[max(0, len(e.last)-demoEventsShown):]
		return nil
	})
}
