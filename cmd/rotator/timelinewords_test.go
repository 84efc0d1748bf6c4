package main

import (
	"encoding/json"
	"testing"

	"github.com/haravan-rotator/rotator/store"
)

// Decisions about one shop read as words; what a later version writes is shown
// as it is stored.
func TestEventsInWords(t *testing.T) {
	t.Parallel()
	for event, tt := range map[string]struct{ detail, want string }{
		"shop.excluded":         {`{"domain":"a.myharavan.com","reason":"closed"}`, "a.myharavan.com is excluded: closed"},
		"shop.included":         {`{"domain":"a.myharavan.com"}`, "a.myharavan.com takes part again"},
		"item.waived":           {`{"domain":"a.myharavan.com","reason":"gone"}`, "a.myharavan.com is waived: gone"},
		"item.cooldown_ignored": {`{"domain":"a.myharavan.com"}`, "a.myharavan.com is asked again although it asked to be left alone"},
		"phase.proven":          {`{"from":"exchanging","evidence":[]}`, "the run goes from exchanging to proven"},
		"attested.revoked":      {`{"note":"done"}`, "revoked is confirmed: done"},
		"moon.full":             {`{"domain":"a"}`, `{"domain":"a"}`},
	} {
		if got := eventWords(store.Entry{Event: event, Detail: json.RawMessage(tt.detail)}); got != tt.want {
			t.Errorf("%s: %q", event, got)
		}
	}
}
