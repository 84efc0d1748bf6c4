package jobs

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

type refusing struct{ err error }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, r.err }

// What the poll came to is in the journal and in everybody's status: neither the
// proxy's password nor what the URL brings along.
func TestAHealthPollTellsNoCredentials(t *testing.T) {
	t.Parallel()
	for _, words := range []string{
		`invalid proxy address "http://me:hush@proxy.example:3128": parse`, "proxyconnect: http://me:hush@proxy.example is down",
	} {
		p := &healthPoller{client: &http.Client{Transport: refusing{errors.New(words)}}}
		if got := p.ask(t.Context(), "https://app.example/health?key=hush"); !strings.HasPrefix(got, "no answer: ") || strings.Contains(got, "hush") {
			t.Errorf("it says %q", got)
		}
	}
}
