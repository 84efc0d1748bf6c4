package jobs_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// pinned reads the run's wire variant, and whether it is still to be found.
func (r *rig) pinned() (w haravan.Wire, probing bool) {
	r.t.Helper()
	run, err := r.db.Store.Run(r.ctx, r.run.ID)
	r.must(err)
	if len(run.Settings.Wire) > 0 {
		r.must(json.Unmarshal(run.Settings.Wire, &w))
	}
	return w, run.Settings.WireProbe
}

func (r *rig) politely() {
	r.t.Helper()
	if m := r.sim.Misuse(); len(m) > 0 {
		r.t.Errorf("misuse: %v", m)
	}
}

func TestTheFirstCanaryShopFindsEveryDocumentedSpelling(t *testing.T) {
	t.Parallel()
	for _, param := range []string{"client_secret", "shared_secret"} {
		for _, path := range []string{"plain", "json"} {
			for _, body := range []string{"form", "json"} {
				for _, extras := range []string{"", "grant", "token", "grant token"} {
					if extras != "" && (path == "plain") != (body == "form") {
						continue // two of four are enough with every extra
					}
					knobs := haravansim.Knobs{SecretParameter: param, TokenPath: path, TokenBody: body}
					if strings.Contains(extras, "grant") {
						knobs.GrantTypeParameter = "required"
					}
					if strings.Contains(extras, "token") {
						knobs.AccessTokenParameter = "required"
					}
					t.Run(strings.TrimSpace(fmt.Sprint(param, " ", path, " ", body, " ", extras)), func(t *testing.T) {
						t.Parallel()
						findsSpelling(t, knobs)
					})
				}
			}
		}
	}
}

func findsSpelling(t *testing.T, k haravansim.Knobs) {
	r := newRig(t, haravansim.Options{Shops: 30, Knobs: k})
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.tokens(); n != 30 {
		t.Errorf("%d of 30 shops are proven", n)
	}
	w, probing := r.pinned()
	if probing {
		t.Error("no variant is pinned")
	}
	if k.GrantTypeParameter == "required" && !w.SendGrantType || k.AccessTokenParameter == "required" && !w.SendAccessToken {
		t.Errorf("pinned %s", w)
	}
	// Every exchange but the first shop's was spelled right at the first try.
	first, others := 0, map[string]int{}
	for _, c := range r.sim.History() {
		if c.Method != "POST" {
			continue
		}
		if c.Shop == "shop-000001.myharavan.com" {
			first++
			if len(others) > 0 {
				t.Errorf("call %d: the first shop is probed after others were exchanged", c.Seq)
			}
			continue
		}
		others[c.Shop]++
	}
	if first > 13 || len(others) != 29 {
		t.Errorf("%d spellings were tried, %d other shops exchanged", first, len(others))
	}
	for shop, n := range others {
		if n != 1 {
			t.Errorf("%s was asked %d times", shop, n)
		}
	}
	r.politely()
	journal := false
	r.must(r.db.Journal(r.ctx, 0, r.run.ID, func(e store.Entry) error {
		journal = journal || e.Event == "run.wire_pinned" && strings.Contains(string(e.Detail), w.String())
		return nil
	}))
	if !journal {
		t.Error("the journal does not tell of the pin")
	}
}

func TestADeadFirstShopLeavesTheProbeToTheNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 40, Knobs: haravansim.Knobs{SecretParameter: "shared_secret", TokenBody: "json"}})
	for shop, kill := range map[string]func(string) error{
		"shop-000001.myharavan.com": r.sim.Uninstall, "shop-000002.myharavan.com": r.sim.Freeze,
	} {
		r.must(kill(shop))
	}
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Proven != 38 || snap.Counts.Skipped != 2 {
		t.Errorf("counts: %+v", snap.Counts)
	}
	if w, probing := r.pinned(); probing || w.SecretParam == haravan.SecretParamClient || w.Body != haravan.BodyJSON {
		t.Errorf("pinned %s (probing %t)", w, probing)
	}
	r.tokens()
	r.politely()
}

// A platform that loses answers and a second worker change nothing: one shop at
// a time is exchanged until the variant is known to all.
func TestTwoWorkersOfAHostilePlatformProbeOneShopAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{
		Shops: 200, Seed: 11, Latency: 5 * time.Millisecond, Faults: haravansim.Hostile(),
		Knobs: haravansim.Knobs{SecretParameter: "shared_secret", TokenPath: "json"},
	})
	r.must(r.sim.Script("shop-000001.myharavan.com", haravansim.OpExchange, haravansim.FaultLostReset, haravansim.FaultLostClose, haravansim.FaultLostReset))
	r.worker()
	r.worker()
	// Without a canary every batch is released at once.
	r.start(operate.StartOptions{BatchSize: 10, Waves: &rotation.WavePolicy{Budget: 0.25}})
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
	if w, probing := r.pinned(); probing || w.SecretParam == haravan.SecretParamClient || w.Path != haravan.PathJSON {
		t.Errorf("pinned %s (probing %t)", w, probing)
	}
	var exchanges []haravansim.Call
	for _, c := range r.sim.History() {
		if c.Method == "POST" {
			exchanges = append(exchanges, c)
		}
	}
	slices.SortFunc(exchanges, func(a, b haravansim.Call) int { return cmp.Compare(a.Seq, b.Seq) })
	wrong := 0
	for i, c := range exchanges {
		if c.Path == haravan.PathPlain {
			wrong++
		}
		if i > 0 && wrong > 0 && c.At.Before(exchanges[i-1].At.Add(exchanges[i-1].Took)) {
			t.Errorf("call %d of %s began before call %d of %s was answered", c.Seq, c.Shop, exchanges[i-1].Seq, exchanges[i-1].Shop)
		}
		if c.Status == http.StatusOK {
			break
		}
	}
	if wrong == 0 || wrong > 12 {
		t.Errorf("%d exchanges went to the path that is not there", wrong)
	}
	r.politely()
}

func TestAPinnedVariantIsNotProbed(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 20, Knobs: haravansim.Knobs{SecretParameter: "shared_secret", TokenBody: "json"}})
	r.app.Settings.Wire = json.RawMessage(`{"secret_param":"shared_secret","body":"json"}`)
	var err error
	r.app, err = r.db.SetApp(r.ctx, "test", r.app)
	r.must(err)
	r.worker()
	r.start(operate.StartOptions{})
	if _, probing := r.pinned(); probing {
		t.Fatal("a variant that was said is looked for")
	}
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.sim.Counts().Exchanges; n != 20 {
		t.Errorf("%d exchanges of 20 shops", n)
	}
	r.tokens()
}

func TestProbingSwitchedOffHoldsOnAWrongSpelling(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 60, Knobs: haravansim.Knobs{SecretParameter: "shared_secret"}})
	r.app.Settings.WireProbe = "off"
	var err error
	r.app, err = r.db.SetApp(r.ctx, "test", r.app)
	r.must(err)
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("held", isHeld(rotation.HeldWaiting))
	if n := r.sim.Counts().Minted; n != 0 {
		t.Errorf("%d tokens were minted", n)
	}
}

// A client id that was mistyped is mended while the run is held.
func TestAWrongClientIDIsMendedInPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 60})
	right := r.app.ClientID
	r.app.ClientID = "mistyped"
	var err error
	r.app, err = r.db.SetApp(r.ctx, "test", r.app)
	r.must(err)
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if !strings.Contains(snap.HeldWhy, "client id") || r.sim.Counts().Exchanges > 12 {
		t.Errorf("held after %d exchanges: %s", r.sim.Counts().Exchanges, snap.HeldWhy)
	}
	r.app.ClientID = right
	r.app, err = r.db.SetApp(r.ctx, "test", r.app)
	r.must(err)
	refused := r.sim.Counts().Exchanges
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
	// What the wrong id was answered says nothing of the spelling.
	if n := r.sim.Counts().Exchanges - refused; n != 60 {
		t.Errorf("%d exchanges of 60 shops with the right client id", n)
	}
	if w, _ := r.pinned(); w != haravan.DefaultWire() {
		t.Errorf("pinned %s", w)
	}
}

// A worker that has seen the run calls where the app's requests go by now.
func TestAWrongURLIsMendedInPlace(t *testing.T) {
	t.Parallel()
	for name, mendedWhileHeld := range map[string]bool{"before the exchange": false, "while held": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 20})
			callsGo := func(url string) {
				r.app.Settings.APIURL = url
				var err error
				r.app, err = r.db.SetApp(r.ctx, "test", r.app)
				r.must(err)
			}
			callsGo(r.sim.ManagementURL) // where no shop is
			r.worker()
			r.start(operate.StartOptions{})
			r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
			if mendedWhileHeld {
				r.arm()
				r.until("held", isHeld(rotation.HeldBreakerOpen))
				_, err := r.op.Retry(r.ctx, r.run.ID, rotation.ClassNotFound, "")
				r.must(err)
			}
			callsGo(r.sim.PlatformURL)
			if mendedWhileHeld {
				r.must(r.op.Resume(r.ctx, r.run.ID))
			} else {
				r.arm()
			}
			r.until("proven", inPhase(rotation.PhaseProven))
			r.tokens()
		})
	}
}

// Killed while it looks for the spelling, a worker leaves the probe to another.
func TestAWorkerKilledInItsProbeLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{
		Shops: 60, Latency: 150 * time.Millisecond,
		Knobs: haravansim.Knobs{SecretParameter: "shared_secret", TokenPath: "json", TokenBody: "json", GrantTypeParameter: "required"},
	})
	first := r.process()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("probing", func(rotation.Snapshot) bool {
		for _, c := range r.sim.History() {
			if c.Method == "POST" {
				return true
			}
		}
		return false
	})
	r.must(first.Process.Kill())
	_ = first.Wait()
	if _, probing := r.pinned(); !probing {
		t.Fatal("it was pinned before the kill")
	}
	r.process()
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.tokens(); n != 60 {
		t.Errorf("%d of 60 shops are proven", n)
	}
	if _, probing := r.pinned(); probing {
		t.Error("no variant is pinned")
	}
	r.politely()
}

// A worker that could not say that it leaves the probe says it again: the others
// would wait for it as long as it lives.
func TestAProbeThatCouldNotBeLeftIsLeftLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 20})
	for s := range r.sim.Shops {
		r.must(r.sim.Uninstall(s.Domain))
	}
	for _, statement := range []string{
		`create sequence failed`,
		`create function fail_once() returns trigger language plpgsql as $$ begin
			if nextval('failed') = 1 then raise 'no' using errcode = '57P01'; end if; return new; end $$`,
		`create trigger fail_once before update on rotator.runs for each row when (old.probe_by is not null and new.probe_by is null) execute function fail_once()`,
	} {
		_, err := r.db.Pool.Exec(r.ctx, statement)
		r.must(err)
	}
	r.worker()
	r.start(operate.StartOptions{Waves: &rotation.WavePolicy{Canary: 1, Budget: 1}})
	r.arm()
	r.until("held after its canary", isHeld(rotation.HeldBreakerOpen))
	r.until("left", func(rotation.Snapshot) bool {
		var failed int
		var free bool
		r.must(r.db.Pool.QueryRow(r.ctx, "select last_value, (select probe_by is null from rotator.runs) from failed").Scan(&failed, &free))
		return failed > 1 && free
	})
}
