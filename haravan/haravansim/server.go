package haravansim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a Sim on two ports.
type Server struct {
	*Sim
	// PlatformURL is Haravan: send every request there with the shop's domain
	// as Host. ManagementURL is the dashboard. Neither ends in a slash.
	PlatformURL, ManagementURL string

	servers []*http.Server
	serving sync.WaitGroup
	unhook  func() bool
}

// Start listens on both addresses and serves until Close or until ctx is done.
// Port 0 picks a free one. It refuses wrong Options, and addresses that are not
// loopback unless Options.AllowRemote.
func Start(ctx context.Context, o Options, platformAddr, manageAddr string) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	platform, err := listen(ctx, platformAddr, o.AllowRemote)
	if err != nil {
		return nil, fmt.Errorf("start simulator: platform port: %w", err)
	}
	manage, err := listen(ctx, manageAddr, o.AllowRemote)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start simulator: management port: %w", err), platform.Close())
	}
	s := &Server{
		Sim:           New(o),
		PlatformURL:   "http://" + platform.Addr().String(),
		ManagementURL: "http://" + manage.Addr().String(),
	}
	s.serve(platform, s.Platform())
	s.serve(manage, s.Management())
	s.unhook = context.AfterFunc(ctx, func() { _ = s.closeServers() }) // Close reports the same error
	return s, nil
}

func (s *Server) serve(l net.Listener, h http.Handler) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.servers = append(s.servers, server)
	s.serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("simulator stopped serving", "addr", l.Addr().String(), "err", err)
		}
	})
}

func (s *Server) closeServers() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// Close stops both ports, breaks what is under way and waits for the listeners
// to end. The Sim can still be asked about what happened.
func (s *Server) Close() error {
	s.unhook()
	err := s.closeServers()
	s.serving.Wait()
	if err != nil {
		return fmt.Errorf("close simulator: %w", err)
	}
	return nil
}

// AddressError is what is wrong with an address that Start was given.
type AddressError struct{ Addr, Problem string }

// Error implements error.
func (e *AddressError) Error() string { return fmt.Sprintf("address %q: %s", e.Addr, e.Problem) }

// listen refuses to show fake but working credentials to a network by accident.
func listen(ctx context.Context, addr string, remote bool) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &AddressError{addr, "write host:port"}
	}
	if _, err := net.DefaultResolver.LookupPort(ctx, "tcp", port); err != nil {
		return nil, &AddressError{addr, "the port is a number up to 65535; 0 picks one"}
	}
	if ip := net.ParseIP(host); !remote && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, &AddressError{addr, "is not loopback: allow remote clients, or use 127.0.0.1"}
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	return l, nil
}
