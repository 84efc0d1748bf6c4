package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

const (
	// healthEvery is the pause between two polls of an app's health URL, of all
	// workers together; healthTimeout is when no answer counts as a bad one.
	healthEvery   = 3 * time.Second
	healthTimeout = 3 * time.Second
)

// healthPoller asks an app's own health URL while its run exchanges. It sends
// no credential and follows no redirect.
type healthPoller struct {
	engine *Engine
	client *http.Client
}

func newHealthPoller(e *Engine) *healthPoller {
	return &healthPoller{engine: e, client: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		Timeout:   healthTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// loop polls for the open runs until ctx ends.
func (p *healthPoller) loop(ctx context.Context) {
	ticker := time.NewTicker(controlEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, r := range p.due() {
			if err := p.poll(ctx, r, r.view().Settings.HealthURL); err != nil && !errors.Is(err, store.ErrConflict) {
				p.engine.quietly(ctx, "cannot look after the app's health", err)
			}
		}
	}
}

// due are the runs that exchange and name a health URL, not polled by this
// process within the pause.
func (p *healthPoller) due() []*runState {
	p.engine.runs.mu.Lock()
	defer p.engine.runs.mu.Unlock()
	var due []*runState
	for _, r := range p.engine.runs.open {
		c := r.view()
		if c.Settings.HealthURL != "" && c.Phase == rotation.PhaseExchanging && c.Held == rotation.HeldNot && time.Since(r.polledAt) >= healthEvery {
			r.polledAt = time.Now()
			due = append(due, r)
		}
	}
	return due
}

// poll asks once if it is this worker's turn, and records what came of it.
func (p *healthPoller) poll(ctx context.Context, r *runState, url string) error {
	mine, err := p.engine.store.TakePoll(ctx, r.id, healthEvery)
	if err != nil || !mine {
		return err
	}
	failure := p.ask(ctx, url)
	if ctx.Err() != nil {
		return nil // this worker ends: that says nothing about the app
	}
	held, err := p.engine.store.WritePoll(ctx, r.id, failure, rotation.UnhealthyAfter)
	if held {
		p.engine.log.Warn("run held: the app's health URL fails", "run", r.id, "answer", failure)
	}
	return err
}

// ask says what is wrong with the answer, "" for a healthy app.
func (p *healthPoller) ask(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "it is not a URL"
	}
	req.Header.Set("User-Agent", "rotator")
	answer, err := p.client.Do(req)
	if err != nil {
		// The *url.Error around it repeats the URL, and it may itself repeat a proxy's.
		return "no answer: " + haravan.Classify(haravan.Answer{Err: errors.Unwrap(err)}).Detail
	}
	defer answer.Body.Close()
	if _, err := io.CopyN(io.Discard, answer.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
		return "its answer broke off"
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Sprintf("it answers %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	return ""
}
