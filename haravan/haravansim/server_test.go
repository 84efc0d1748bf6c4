package haravansim_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	const free = "127.0.0.1:0"
	for name, test := range map[string]struct {
		options          haravansim.Options
		platform, manage string
		words            string
	}{
		"all interfaces":    {haravansim.Options{}, ":0", free, "not loopback"},
		"a public address":  {haravansim.Options{}, free, "192.0.2.1:0", "not loopback"},
		"a name":            {haravansim.Options{}, "example.com:80", free, "not loopback"},
		"no port":           {haravansim.Options{}, "127.0.0.1", free, "write host:port"},
		"an impossible one": {haravansim.Options{}, "127.0.0.1:99999", free, "up to 65535"},
		"bad options":       {haravansim.Options{Shops: -1}, free, free, "shops is -1"},
	} {
		s, err := haravansim.Start(t.Context(), test.options, test.platform, test.manage)
		if err == nil {
			t.Errorf("%s: started", name)
			_ = s.Close()
		} else if !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemoteOnlyWhenTold(t *testing.T) {
	t.Parallel()
	s, err := haravansim.Start(t.Context(), haravansim.Options{AllowRemote: true}, "0.0.0.0:0", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestServerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := haravansim.Start(ctx, haravansim.Options{}, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(s.PlatformURL); err == nil {
		_ = res.Body.Close()
		t.Error("it still answers")
	}
}

func TestNewPanicsOnBadOptions(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	haravansim.New(haravansim.Options{Shops: -1})
}
