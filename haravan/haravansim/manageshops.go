package haravansim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

func (s *Sim) size() int {
	s.fleet.mu.RLock()
	defer s.fleet.mu.RUnlock()
	return len(s.fleet.shops) + len(s.fleet.late)
}

// manageShops streams, so that a million shops cost no memory.
func (s *Sim) manageShops(w http.ResponseWriter, r *http.Request) {
	limit, err := numberIn(r, "limit")
	if err != nil {
		respond(w, nil, err)
		return
	}
	start := 0
	if after := r.URL.Query().Get("after"); after != "" {
		at, ok := s.locate(after)
		if !ok {
			respond(w, nil, fmt.Errorf("after is %q: there is no such shop", after))
			return
		}
		start = at.index + 1
	}
	format := r.URL.Query().Get("format")
	if format == "" && strings.Contains(r.Header.Get("Accept"), "text/csv") {
		format = "csv"
	}
	out := bufio.NewWriterSize(w, 64<<10)
	defer func() { _ = out.Flush() }() // a client that left is no error of ours
	var write func(Shop) error
	switch format {
	case "csv":
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		columns, legacy := "domain,access_token", s.opts.Legacy > 0
		if legacy {
			columns += ",legacy_token,legacy_password"
		}
		_, _ = out.WriteString(columns + "\n")
		write = func(sh Shop) error {
			line := sh.Domain + "," + sh.AccessToken // nothing here needs quotes
			if legacy {
				line += "," + sh.LegacyToken + "," + sh.LegacyPassword
			}
			_, err := out.WriteString(line + "\n")
			return err
		}
	case "", "jsonl":
		w.Header().Set("Content-Type", "application/x-ndjson")
		encoder := json.NewEncoder(out)
		write = func(sh Shop) error { return encoder.Encode(sh) }
	default:
		respond(w, nil, fmt.Errorf("format is %q: use csv or jsonl", format))
		return
	}
	n := uint64(0)
	s.shopsFrom(start, func(sh Shop) bool {
		if limit > 0 && n == limit {
			return false
		}
		if sh.AccessToken+sh.LegacyToken+sh.LegacyPassword == "" {
			return true
		}
		n++
		return write(sh) == nil
	})
}

func (s *Sim) manageShop(r *http.Request) (any, error) {
	at, err := s.named(r)
	if err != nil {
		return nil, err
	}
	counts, _ := s.countsOf(at)
	return struct {
		Shop
		Counts ShopCounts `json:"counts"`
	}{s.shop(at), counts}, nil
}

// named finds the shop in the request's path.
func (s *Sim) named(r *http.Request) (ref, error) {
	domain := r.PathValue("domain")
	at, ok := s.locate(domain)
	if !ok {
		return ref{}, refusal{http.StatusNotFound, fmt.Sprintf("there is no shop %q", domain)}
	}
	return at, nil
}

func (s *Sim) manageInstall(r *http.Request) (any, error) {
	var in struct {
		Domain string `json:"domain"`
	}
	if err := readInto(r, &in, false); err != nil {
		return nil, err
	}
	code, err := s.InstallShop(in.Domain)
	return map[string]string{"domain": in.Domain, "code": code}, err
}

func (s *Sim) manageState(apply func(domain string) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		at, err := s.named(r)
		if err != nil {
			return nil, err
		}
		if err := apply(at.domain); err != nil {
			return nil, err
		}
		return s.shop(at), nil
	}
}

func (s *Sim) manageAnswerAs(r *http.Request) (any, error) {
	at, err := s.named(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Other string `json:"other"`
	}
	if err := readInto(r, &in, false); err != nil {
		return nil, err
	}
	if err := s.AnswerAs(at.domain, in.Other); err != nil {
		return nil, err
	}
	return s.shop(at), nil
}

func (s *Sim) manageToken(r *http.Request) (any, error) {
	at, err := s.named(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		AccessToken string `json:"access_token"`
	}
	if err := readInto(r, &in, false); err != nil {
		return nil, err
	}
	t, alive := s.token(at.domain, in.AccessToken)
	return map[string]any{"alive": alive, "version": t.version, "scopes": s.TokenScopes(at.domain, in.AccessToken)}, nil
}

func (s *Sim) manageSecrets(*http.Request) (any, error) {
	return map[string][]Secret{"secrets": s.Secrets()}, nil
}

func (s *Sim) manageCreateSecret(*http.Request) (any, error) { return s.CreateSecret() }

func (s *Sim) manageRevokeSecret(r *http.Request) (any, error) {
	version, err := strconv.Atoi(r.PathValue("version"))
	if err != nil {
		return nil, fmt.Errorf("version is %q: use a number", r.PathValue("version"))
	}
	return s.RevokeSecret(version)
}

func (s *Sim) manageCreateRefresh(r *http.Request) (any, error) {
	var in struct {
		Foreign bool `json:"foreign"`
	}
	if err := readInto(r, &in, true); err != nil {
		return nil, err
	}
	return s.addRefreshToken(in.Foreign), nil
}

func (s *Sim) manageRevokeRefresh(r *http.Request) (any, error) {
	var in struct {
		Value string `json:"value"`
	}
	if err := readInto(r, &in, false); err != nil {
		return nil, err
	}
	return map[string]bool{"revoked": true}, s.RevokeRefreshToken(in.Value)
}
