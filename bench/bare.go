package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
)

// bareSpec is what the bare loop needs.
type bareSpec struct {
	Address address `json:"address"`
	// Secret and Refresh go over a pipe; secret.String would not.
	Secret   string `json:"secret"`
	Refresh  string `json:"refresh"`
	InFlight int    `json:"inflight"`
}

// bare measures the client alone: what nothing durable can beat.
func (b *bench) bare(ctx context.Context, shops int) (result, error) {
	pl, err := b.platform(ctx, shops)
	if err != nil {
		return result{}, err
	}
	r, err := b.bareOn(ctx, pl)
	if err == nil {
		err = pl.verify(ctx, shops)
	}
	if err := errors.Join(err, pl.end()); err != nil {
		return r, err
	}
	b.noteLeg("bare", shops, r)
	return r, nil
}

func (b *bench) bareOn(ctx context.Context, pl *platform) (result, error) {
	var r result
	refresh, err := pl.create(ctx, "/refresh-tokens")
	if err != nil {
		return r, err
	}
	begun, err := cpuSince(cpu{}, 0, 0, pl.pid())
	if err != nil {
		return r, err
	}
	p, err := b.begin(ctx, "bare", bareSpec{pl.address, pl.newSecret.Reveal(), refresh.Reveal(), b.inflight})
	if err != nil {
		return r, err
	}
	if err := p.hear(&r); err != nil {
		return r, err
	}
	if r.cpu, err = cpuSince(begun, 0, 0, pl.pid()); err != nil {
		return r, errors.Join(err, p.end())
	}
	r.cpu.worker = time.Duration(r.CPUSeconds * float64(time.Second))
	return r, p.end()
}

func barePart(ctx context.Context, p partIO) error {
	var spec bareSpec
	if err := p.in.Decode(&spec); err != nil {
		return err
	}
	domains, err := spec.Address.domains(ctx)
	if err != nil {
		return err
	}
	client, err := newClient(spec.Address.APIURL, spec.InFlight)
	if err != nil {
		return err
	}
	request := haravan.ExchangeRequest{
		ClientID: spec.Address.ClientID, Secret: secret.New(spec.Secret), RefreshToken: secret.New(spec.Refresh),
	}
	before, err := used()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := bareLoop(ctx, client, request, domains, spec.InFlight); err != nil {
		return err
	}
	took := time.Since(begin)
	r, err := used()
	if err != nil {
		return err
	}
	r.Seconds = took.Seconds()
	r.CPUSeconds -= before.CPUSeconds
	return p.out.Encode(r)
}

func newClient(url string, inflight int) (*haravan.Client, error) {
	return haravan.New(haravan.Config{APIURL: url, InFlight: inflight})
}

// bareLoop exchanges and proves every shop, inflight at a time, and remembers
// nothing.
func bareLoop(ctx context.Context, client *haravan.Client, request haravan.ExchangeRequest, domains []string, inflight int) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range inflight {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(domains) {
					return nil
				}
				r := request
				r.Shop = domains[i]
				got, err := client.Exchange(ctx, r)
				if err != nil {
					return fmt.Errorf("exchange: %w", err)
				}
				if _, err := client.Identity(ctx, r.Shop, got.AccessToken); err != nil {
					return fmt.Errorf("prove: %w", err)
				}
			}
		})
	}
	return group.Wait()
}

// domains lists the simulator's fleet.
func (a address) domains(ctx context.Context) ([]string, error) {
	body, err := a.open(ctx, http.MethodGet, "/shops?format=csv")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var all []string
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if domain, _, ok := strings.Cut(lines.Text(), ","); ok && domain != "domain" {
			all = append(all, domain)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("list the simulator's shops: %w", err)
	}
	return all, nil
}
