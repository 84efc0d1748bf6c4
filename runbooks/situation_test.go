package runbooks_test

import (
	"encoding/csv"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// situation is what a document finds, and what it must leave.
type situation struct {
	platform haravansim.Options
	arrive   func(*rig)
	leave    func(*rig)
}

// situations has one for every document whose commands are run.
var situations = map[string]situation{
	"../README.md": {
		platform: haravansim.Options{Seed: 1, Shops: 150, Faults: haravansim.Hostile()},
		arrive:   func(*rig) {},
		leave:    func(r *rig) { r.rotated(); r.exported("new-tokens.csv", 0) },
	},
	"planned-rotation.md": {
		platform: haravansim.Options{Seed: 2, Shops: 150, Faults: haravansim.Hostile()},
		arrive: func(r *rig) {
			r.stock()
			if err := r.sim.AnswerAs("shop-000042.myharavan.com", "shop-000043.myharavan.com"); err != nil {
				r.t.Fatal(err)
			}
		},
		leave: func(r *rig) { r.rotated(); r.exported("new-tokens.csv", 1) },
	},
	"token-migration.md": {
		platform: haravansim.Options{Seed: 6, Shops: 60, Legacy: 40},
		arrive: func(r *rig) {
			r.run(`rotator app set --name main --client-id "$CLIENT_ID"`)
			r.run("rotator secret add --file current-secret.txt")
			r.write("legacy-shops.csv", r.legacyFleet())
			if err := r.sim.AnswerAs("shop-000007.myharavan.com", "shop-000008.myharavan.com"); err != nil {
				r.t.Fatal(err)
			}
		},
		leave: func(r *rig) { r.migrated("oauth-tokens.csv") },
	},
	"leaked-secret.md": {
		platform: haravansim.Options{Seed: 6, Shops: 150, Faults: haravansim.Hostile()},
		arrive: func(r *rig) {
			r.stock()
			rows := strings.Split(strings.TrimSpace(r.fleet()), "\n")
			for i := range rows {
				switch {
				case i == 0:
					rows[i] += ",priority"
				case i > 140:
					rows[i] += ",10"
				default:
					rows[i] += ",0"
				}
			}
			r.write("ranked.csv", strings.Join(rows, "\n")+"\n")
		},
		leave: func(r *rig) { r.rotated(); r.exported("new-tokens.csv", 0); r.importantFirst(); r.timeline() },
	},
	"window-expired.md": {
		// At 8 in flight the fleet needs some 15 s, of which the window has 7.
		platform: haravansim.Options{Seed: 3, Shops: 300, Latency: 200 * time.Millisecond, Faults: haravansim.Hostile()},
		arrive: func(r *rig) {
			r.stock()
			r.exchange("--inflight 8", "--age 59m53s --accept-windows --no-plan")
			r.open("worker", "rotator worker")
			r.shell("rotator rotation status --watch") // its exit code is the runbook's matter
			r.midway()
		},
		leave: (*rig).exchangedOnce,
	},
	"worker-died.md": {
		platform: haravansim.Options{Seed: 4, Shops: 300, Latency: 100 * time.Millisecond, Faults: haravansim.Hostile()},
		arrive: func(r *rig) {
			r.stock()
			r.exchange("--inflight 8", "--no-plan")
			worker := r.start("dead-worker", "rotator worker")
			r.await("a third is exchanged", func() bool { return r.sim.Counts().Minted > 100 })
			if err := worker.cmd.Process.Signal(syscall.SIGKILL); err != nil {
				r.t.Fatal(err)
			}
			if err := <-worker.ended; err == nil {
				r.t.Fatal("the worker was not killed")
			}
			r.pass(3 * time.Minute) // its heartbeat and its leases are old by now
			r.midway()
		},
		leave: (*rig).exchangedOnce,
	},
	"own-table.md": {
		platform: haravansim.Options{Seed: 6, Shops: 120},
		arrive: func(r *rig) {
			r.table("rotator app set --name main --client-id \"$CLIENT_ID\"")
			r.run(`psql "$DATABASE_URL" -qc "insert into public.shops (id, shop, access_token) values (9001, 'no shop at all', 'x')"`)
		},
		leave: func(r *rig) {
			if out := r.run("rotator shop list --limit 0 --json | wc -l"); strings.TrimSpace(out) != "120" {
				r.t.Errorf("%s shops are stored", out)
			}
		},
	},
	"table-changed.md": {
		platform: haravansim.Options{Seed: 7, Shops: 300, Latency: 50 * time.Millisecond},
		arrive: func(r *rig) {
			r.table(`rotator app set --name main --client-id "$CLIENT_ID" && rotator secret add --file current-secret.txt`)
			r.run("rotator shop bind --table public.shops --key id --domain shop --access-token access_token --where 'uninstalled_at is null'")
			r.exchange("--inflight 8", "--no-plan")
			r.open("worker", "rotator worker")
			r.await("a third is exchanged", func() bool { return r.sim.Counts().Minted > 100 })
			r.run(`psql "$DATABASE_URL" -qc 'alter table public.shops rename access_token to token'`)
			r.shell("rotator rotation status --watch") // its exit code is the runbook's matter
		},
		leave: func(r *rig) {
			r.exchangedOnce()
			r.run(`psql "$DATABASE_URL" -qAtc "copy (select shop, token from public.shops) to stdout csv header" >new-tokens.csv`)
			r.exported("new-tokens.csv", 0)
		},
	},
	"credentials-refused.md": {
		platform: haravansim.Options{Seed: 5, Shops: 300},
		arrive: func(r *rig) {
			r.stock()
			r.prepare("")
			r.write("foreign-token.txt", r.sim.CreateForeignRefreshToken().Value)
			r.run("rotator rotation arm --file foreign-token.txt")
			r.open("worker", "rotator worker")
			r.shell("rotator rotation status --watch") // its exit code is the runbook's matter
			if c := r.sim.Counts(); c.Minted != 0 || c.Exchanges > 20 {
				r.t.Fatalf("%d tokens were made in %d calls with a foreign refresh token", c.Minted, c.Exchanges)
			}
		},
		leave: (*rig).exchangedOnce,
	},
	"app-does-not-acknowledge.md": {
		platform: haravansim.Options{Seed: 6, Shops: 60},
		arrive: func(r *rig) {
			r.receive(http.StatusServiceUnavailable)
			r.stock()
			r.run(`rotator app set --deliver-url "$DELIVER_URL" --deliver-key-new deliver-key.txt`)
			r.exchange("--require-delivery", "--no-plan")
			r.open("worker", "rotator worker")
			r.await("every shop is proven, and the app seen to be down", func() bool {
				status := r.run("rotator rotation status --json")
				return strings.Contains(status, `"proven":60`) && strings.Contains(status, `"down_since":"2`)
			})
			// The app has not answered for a while; the worker lives.
			r.sql(`update rotator.deliveries set swapped_at = swapped_at - interval '3 minutes'`)
		},
		leave: func(r *rig) {
			if out := r.run("rotator rotation status --json"); !strings.Contains(out, `"phase":"proven"`) || !strings.Contains(out, `"acknowledged":60`) {
				r.t.Errorf("the run is not proven, or the app does not know: %s", out)
			}
			r.noMisuse()
		},
	},
}

// stock is an app with its secret in use and its shops.
func (r *rig) stock() {
	r.t.Helper()
	r.run(`rotator app set --name main --client-id "$CLIENT_ID"`)
	r.run("rotator secret add --file current-secret.txt")
	r.run("rotator shop import shops.csv")
}

// table puts the app's shops into a table of its own, after a command.
func (r *rig) table(before string) {
	r.t.Helper()
	r.run(before)
	r.run(`psql "$DATABASE_URL" -qc 'create table public.shops (id integer generated always as identity primary key, shop text, access_token text, uninstalled_at timestamptz);
		alter table public.shops alter id set generated by default'`)
	r.run(`psql "$DATABASE_URL" -qc '\copy public.shops (shop, access_token) from shops.csv csv header'`)
}

// exchange takes a run to where a worker has everything that it needs.
func (r *rig) exchange(start, arm string) {
	r.t.Helper()
	r.prepare(start)
	r.dashboard([]string{"create-refresh-token", "refresh-token.txt"})
	r.run("rotator rotation arm --file refresh-token.txt " + arm)
}

// prepare takes a run to where it wants a refresh token.
func (r *rig) prepare(start string) {
	r.t.Helper()
	r.dashboard([]string{"create-secret", "new-secret.txt"})
	r.run("rotator secret add --file new-secret.txt")
	r.run("rotator rotation start " + start)
	r.run("rotator rotation confirm webhooks_dual --note tested")
	r.run("rotator rotation confirm oauth_switched --note tested")
}

// await polls the simulator, which has no hook for what a worker did.
func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(slowest)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			r.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// midway makes sure that the situation is one: some shops are done, not all.
func (r *rig) midway() {
	r.t.Helper()
	if minted := r.sim.Counts().Minted; minted == 0 || minted >= 290 {
		r.t.Fatalf("the situation did not come about: %d tokens were exchanged", minted)
	}
}

// rotated wants every old token dead and the run closed, without any call that
// a correct client never makes.
func (r *rig) rotated() {
	r.t.Helper()
	if out := r.run("rotator rotation status --json"); !strings.Contains(out, `"state":"closed"`) {
		r.t.Errorf("the run is not closed: %s", out)
	}
	for _, row := range r.rows("shops.csv") {
		if r.sim.TokenAlive(row[0], row[1]) {
			r.t.Errorf("the old token of %s lives", row[0])
		}
	}
	r.noMisuse()
}

// migrated wants every legacy credential gone, and a working token for every
// shop but the one that was waived.
func (r *rig) migrated(name string) {
	r.t.Helper()
	if out := r.run("rotator shop export --columns domain,legacy_token,legacy_password"); strings.Count(out, ",,\n")+strings.Count(out, ",\n") < 60 {
		r.t.Errorf("legacy credentials are still stored:\n%s", out)
	}
	live := 0
	for _, row := range r.rows(name) {
		if r.sim.TokenAlive(row[0], row[1]) {
			live++
		}
	}
	if live != 59 {
		r.t.Errorf("%d of 60 exported tokens live, want all but one", live)
	}
	r.noMisuse()
}

// importantFirst wants, by the platform's books, the ten shops that were ranked
// back before most of the others, and nobody still down.
func (r *rig) importantFirst() {
	r.t.Helper()
	all := r.sim.Downtimes()
	early := 0
	for i, d := range all {
		if !d.Back || d.Down <= 0 {
			r.t.Errorf("%s: %+v", d.Domain, d)
		}
		if i < len(all)/2 && d.Domain > "shop-000140" {
			early++
		}
	}
	if early < 7 { // one or the other was tried again, or is gone
		r.t.Errorf("of the ten ranked shops %d are among the first half to come back", early)
	}
}

// timeline wants the table to tell of the revoke and of the last shop.
func (r *rig) timeline() {
	r.t.Helper()
	text, err := os.ReadFile(r.path("timeline.csv"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.shown.Write(text)
	for _, part := range []string{",operator,attested.contained,", "incident 7", ",engine,shops.last,"} {
		if !strings.Contains(string(text), part) {
			r.t.Errorf("the timeline does not tell of %q:\n%s", part, text)
		}
	}
}

// exported wants a living token of the new secret for every living shop, but for
// those that were waived.
func (r *rig) exported(name string, waived int) {
	r.t.Helper()
	live := 0
	for _, row := range r.rows(name) {
		if r.sim.TokenAlive(row[0], row[1]) && r.sim.TokenVersion(row[0], row[1]) == 2 {
			live++
		}
	}
	installed := 0
	r.sim.Shops(func(s haravansim.Shop) bool {
		if s.State == haravansim.StateInstalled {
			installed++
		}
		return true
	})
	if live != installed-waived || installed < 100 {
		r.t.Errorf("%d exported tokens live, but %d shops do", live, installed)
	}
}

// rows reads domain and token of a shop list on the desk.
func (r *rig) rows(name string) [][]string {
	r.t.Helper()
	f, err := os.Open(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		r.t.Fatal(err)
	}
	return rows[1:]
}

// exchangedOnce wants the run proven, and no shop exchanged more often than its
// faults explain: one whose answer was lost, or was under way in the crash.
func (r *rig) exchangedOnce() {
	r.t.Helper()
	if out := r.run("rotator rotation status --json"); !strings.Contains(out, `"phase":"proven"`) {
		r.t.Errorf("the run is not proven: %s", out)
	}
	again := 0
	r.sim.EachCount(func(_ string, c haravansim.ShopCounts) bool {
		if c.Minted > 1 {
			again++
		}
		return true
	})
	if again > 30 { // a tenth: 8 in flight at the crash, and the lost answers
		r.t.Errorf("%d of 300 shops were exchanged more than once", again)
	}
	r.noMisuse()
}

func (r *rig) noMisuse() {
	r.t.Helper()
	for _, m := range r.sim.Misuse() {
		r.t.Errorf("misuse: %s", m)
	}
}
