package jobs

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// looking looks at many shops, some at a time: one that answers late holds up no
// other. What was seen is written in groups, as it comes.
type looking[S, T any] struct {
	// read returns the next shops, none at the end.
	read func() ([]S, error)
	// look reports false for a shop that gave no clear answer.
	look  func(S) (T, bool)
	write func([]T) error
}

// all looks at what read returns, most shops at a time, and tells how many gave
// no clear answer. An error of read or write ends it; what is under way is waited
// for.
func (l looking[S, T]) all(most int) (unclear int, err error) {
	places := make(chan struct{}, most)
	seen := make(chan T, most)
	written := make(chan error, 1)
	var stop atomic.Bool
	go func() {
		written <- l.writeAll(seen, func() { stop.Store(true) })
	}()
	var shops sync.WaitGroup
	var missed atomic.Int64
	for !stop.Load() {
		var page []S
		if page, err = l.read(); err != nil || len(page) == 0 {
			break
		}
		for _, shop := range page {
			places <- struct{}{}
			if stop.Load() {
				break
			}
			shops.Go(func() {
				defer func() { <-places }()
				if got, ok := l.look(shop); ok {
					seen <- got
				} else {
					missed.Add(1)
				}
			})
		}
	}
	shops.Wait()
	close(seen)
	return int(missed.Load()), errors.Join(err, <-written)
}

// writeAll writes until seen is closed. After an error it only drains.
func (l looking[S, T]) writeAll(seen <-chan T, failed func()) (err error) {
	for first := range seen {
		if err != nil {
			continue
		}
		if err = l.write(company(first, seen)); err != nil {
			failed()
		}
	}
	return err
}

// company is first with what comes soon after it.
func company[T any](first T, more <-chan T) []T {
	group := append(make([]T, 0, flushRows), first)
	soon := time.NewTimer(flushDelay)
	defer soon.Stop()
	for len(group) < flushRows {
		select {
		case next, open := <-more:
			if !open {
				return group
			}
			group = append(group, next)
		case <-soon.C:
			return group
		}
	}
	return group
}

// unharmed is look without its panics: the shop then gave no clear answer.
func unharmed[S, T any](e *Engine, run int64, look func(S) (T, bool)) func(S) (T, bool) {
	return func(shop S) (got T, ok bool) {
		defer func() {
			if p := recover(); p != nil {
				e.logFault(p, "run", run)
				ok = false
			}
		}()
		return look(shop)
	}
}

// logFault logs a panic. What it says may be made of anything, and is left out.
func (e *Engine) logFault(p any, of ...any) {
	e.log.Error("a fault in rotator", append(of, "kind", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))...)
}
