package haravansim_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

func TestOldTokensKnob(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		knobs haravansim.Knobs
		// whether the old token lives right after the exchange, and a minute on
		atOnce, later bool
	}{
		"default":  {haravansim.Knobs{}, true, true},
		"at once":  {haravansim.Knobs{OldTokens: "at_once"}, false, false},
		"after 1m": {haravansim.Knobs{OldTokens: "after", OldTokenLife: time.Minute}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, haravansim.Options{Knobs: test.knobs}).arm()
			old := g.stored()[shop1]
			fresh := g.token(shop1)
			atOnce := g.identity(shop1, old).status == 200
			g.advance(time.Minute)
			later := g.identity(shop1, old).status == 200
			if atOnce != test.atOnce || later != test.later {
				t.Errorf("old token alive: %v then %v, want %v then %v", atOnce, later, test.atOnce, test.later)
			}
			if !g.TokenAlive(shop1, fresh) {
				t.Error("the new token is dead")
			}
		})
	}
}

func TestRepeatedExchange(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	if first, second := g.token(shop1), g.token(shop1); first == second {
		t.Error("default: a repeated exchange returned the same token")
	}
	g.setKnobs(haravansim.Knobs{RepeatReturnsSame: true})
	if first, second := g.token(shop2), g.token(shop2); first != second {
		t.Error("repeat_returns_same: a repeated exchange returned another token")
	}
	// Under the old secret, the same means the token that is being replaced.
	if got, old := g.token(shop3, "client_secret", g.Secrets()[0].Value), g.stored()[shop3]; got != old {
		t.Error("repeat_returns_same: the old secret did not return the old token")
	}
}

func TestRefreshTokenUses(t *testing.T) {
	t.Parallel()
	for uses, want := range map[string]string{
		"multi":         "ok ok ok",
		"once_per_shop": "ok used ok",
		"once":          "ok used used",
	} {
		t.Run(uses, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, haravansim.Options{Knobs: haravansim.Knobs{RefreshTokenUses: uses}}).arm()
			var got []string
			for _, shop := range []string{shop1, shop1, shop2} {
				switch a := g.exchange(shop); {
				case a.status == 200:
					got = append(got, "ok")
				case a.status == 400 && strings.Contains(a.body, "already used"):
					got = append(got, "used")
				default:
					t.Fatalf("%d %s", a.status, a.body)
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("got %v, want %s", got, want)
			}
			g.refresh = g.CreateRefreshToken().Value
			g.token(shop1)
		})
	}
}

func TestRevokeDelay(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Knobs: haravansim.Knobs{RevokeDelay: time.Minute}})
	old := g.stored()[shop1]
	revoked, err := g.RevokeSecret(1)
	g.must(err)
	if want := g.Now().Add(time.Minute); !revoked.DiesAt.Equal(want) {
		t.Errorf("dies at %s, want %s", revoked.DiesAt, want)
	}
	g.advance(time.Minute - time.Nanosecond)
	if !g.TokenAlive(shop1, old) {
		t.Error("the revoke bit too early")
	}
	g.advance(time.Nanosecond)
	if g.TokenAlive(shop1, old) {
		t.Error("the revoke did not bite")
	}
	if _, err := g.RevokeSecret(1); err == nil {
		t.Error("revoked twice")
	}
	if _, err := g.RevokeSecret(2); err == nil {
		t.Error("revoked a version that is not there")
	}
}

func TestMaxLiveSecrets(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	if _, err := g.CreateSecret(); err == nil || !strings.Contains(err.Error(), "revoke one first") {
		t.Errorf("third live secret: %v", err)
	}
	_, err := g.RevokeSecret(1)
	g.must(err)
	third, err := g.CreateSecret()
	g.must(err)
	if third.Version != 3 {
		t.Errorf("version %d, want 3", third.Version)
	}
}

func TestWebhookSigner(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	sign := func(want int) {
		t.Helper()
		signature, version, err := g.SignWebhook([]byte(`{"id":1}`))
		g.must(err)
		if version != want {
			t.Errorf("signed by %d, want %d", version, want)
		}
		mac := hmac.New(sha256.New, []byte(g.Secrets()[want-1].Value))
		mac.Write([]byte(`{"id":1}`))
		if signature != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Errorf("signature %q is not that of secret %d", signature, want)
		}
	}
	sign(1)
	g.setKnobs(haravansim.Knobs{WebhookSigner: "newest"})
	sign(2)
	g.setKnobs(haravansim.Knobs{WebhookGrace: time.Hour})
	_, err := g.RevokeSecret(1)
	g.must(err)
	sign(1)
	g.advance(time.Hour)
	sign(2)
	g.setKnobs(haravansim.Knobs{})
	_, err = g.RevokeSecret(2)
	g.must(err)
	if _, _, err := g.SignWebhook(nil); err == nil {
		t.Error("signed without a live secret")
	}
}

func TestValidateReportsEveryMistake(t *testing.T) {
	t.Parallel()
	o := haravansim.Options{
		Shops: -1, Latency: -1, History: -2,
		Faults: haravansim.Faults{
			Rates: map[haravansim.Fault]float64{"gremlins": 0.1, haravansim.FaultSlow: 2},
			Dead:  map[haravansim.State]float64{haravansim.StateInstalled: 0.5},
		},
		Knobs: haravansim.Knobs{OldTokens: "after", TokenPath: "x", RetryAfter: -1, BucketSize: -1, MaxLiveSecrets: -1, ErrorsStatus: 200, SlowBy: 1 << 62, FrozenShop: haravansim.Reply{Status: 204}, UnknownShop: haravansim.Reply{Status: 302, Location: "/\r\nX: y"}},
	}
	err := o.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, words := range []string{
		"shops is -1", "latency", "history is -2", `unknown fault "gremlins"`, "rate of slow is 2", "rates add up",
		`unknown state "installed"`, "old_token_life is missing", `token_path is "x"`, "retry_after", "bucket of -1",
		"max_live_secrets is -1", "errors_status is 200", "frozen_shop has status 204", "slow_by is", "unknown_shop has a location",
	} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q is not reported in:\n%v", words, err)
		}
	}
}

func TestKnobsJSON(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{})
	g.setKnobs(haravansim.Knobs{RetryAfter: 1500 * time.Millisecond, SkewDate: -time.Minute, BucketSize: 40, FrozenShop: haravansim.Reply{Status: 423, Body: "locked"}})
	data, err := json.Marshal(g.Knobs())
	g.must(err)
	if !strings.Contains(string(data), `"retry_after":"1.5s"`) {
		t.Errorf("durations are not in words: %s", data)
	}
	var back haravansim.Knobs
	g.must(json.Unmarshal(data, &back))
	if diff := cmp.Diff(g.Knobs(), back); diff != "" {
		t.Errorf("knobs changed on the way through JSON:\n%s", diff)
	}
	for _, bad := range []string{`{"retry_after":1}`, `{"retry_after":"soon"}`, `{"retri_after":"1s"}`, `[]`, `{"bucket_size":"x"}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
