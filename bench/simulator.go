package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
)

// platform is a simulator in a process of its own.
type platform struct {
	*process
	address
	oldSecret, newSecret secret.String
}

// address is what the simulator says when it is ready.
type address struct {
	APIURL        string `json:"api_url"`
	ManagementURL string `json:"management_url"`
	ClientID      string `json:"client_id"`
}

// simulatorSpec is what the simulator's process is told.
type simulatorSpec struct {
	Shops   int           `json:"shops"`
	Latency time.Duration `json:"latency"`
}

func simulatorPart(ctx context.Context, p partIO) error {
	var spec simulatorSpec
	if err := p.in.Decode(&spec); err != nil {
		return err
	}
	sim, err := haravansim.Start(ctx, haravansim.Options{
		Seed: 1, Shops: spec.Shops, History: -1,
		// Jitter, or all calls would move in step.
		Latency: spec.Latency / 2, Jitter: spec.Latency,
	}, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := p.out.Encode(address{sim.PlatformURL, sim.ManagementURL, sim.App().ClientID}); err != nil {
		return err
	}
	p.stopped(ctx)
	return sim.Close()
}

// platform starts a polite simulator with a second secret.
func (b *bench) platform(ctx context.Context, shops int) (*platform, error) {
	process, err := b.begin(ctx, "simulator", simulatorSpec{Shops: shops, Latency: b.latency})
	if err != nil {
		return nil, err
	}
	pl := &platform{process: process}
	if err := pl.hear(&pl.address); err != nil {
		return nil, err
	}
	if pl.newSecret, err = pl.create(ctx, "/secrets"); err == nil {
		var all []struct{ Value string }
		if err = pl.manage(ctx, http.MethodGet, "/secrets", &struct{ Secrets any }{&all}); err == nil && len(all) > 0 {
			pl.oldSecret = secret.New(all[0].Value)
		}
	}
	if err != nil {
		_ = pl.end() // the error before is the one that matters
		return nil, err
	}
	return pl, nil
}

// create makes a secret or a refresh token at the dashboard.
func (pl *platform) create(ctx context.Context, path string) (secret.String, error) {
	var made struct{ Value string }
	if err := pl.manage(ctx, http.MethodPost, path, &made); err != nil {
		return secret.String{}, err
	}
	return secret.New(made.Value), nil
}

func (pl *platform) manage(ctx context.Context, method, path string, into any) error {
	body, err := pl.open(ctx, method, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read the simulator's answer to %s %s: %w", method, path, err)
	}
	return nil
}

func (a address) open(ctx context.Context, method, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.ManagementURL+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the simulator: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("ask the simulator: %s %s: %s", method, path, answer.Status)
	}
	return answer.Body, nil
}

// verify refuses a leg in which the platform was not called exactly as it had
// to be: one token minted for each shop, and one identity read.
func (pl *platform) verify(ctx context.Context, shops int) error {
	var t haravansim.Totals
	if err := pl.manage(ctx, http.MethodGet, "/counts", &t); err != nil {
		return err
	}
	var wrong []string
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"tokens minted", t.Minted, shops},
		{"shops with a token minted", t.ShopsMinted, shops},
		{"tokens minted under the old secret", t.MintedUnderOld, 0},
		{"identity reads", t.IdentityReads, shops},
		{"calls that a correct client never makes", t.Misuse, 0},
	} {
		if c.got != c.want {
			wrong = append(wrong, fmt.Sprintf("%d %s, want %d", c.got, c.what, c.want))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the leg does not count: the simulator has %s", strings.Join(wrong, "; "))
	}
	return nil
}
