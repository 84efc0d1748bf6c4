package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// installs has a merchant install the app, and the token of a secret stored for it.
func (r *rig) installs(sim *haravansim.Server, domain string, version int) {
	r.t.Helper()
	r.installsAs(sim, domain, version, version)
}

// installsAs is installs by somebody who takes the token for one of another secret.
func (r *rig) installsAs(sim *haravansim.Server, domain string, version, said int) {
	r.t.Helper()
	code, err := sim.InstallShop(domain)
	must(r.t, err)
	form := url.Values{
		"client_id": {sim.App().ClientID}, "client_secret": {sim.Secrets()[version-1].Value}, "code": {code},
		"grant_type": {"authorization_code"}, "redirect_uri": {"https://app.example/callback"},
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, sim.PlatformURL+"/admin/oauth/access_token", strings.NewReader(form.Encode()))
	must(r.t, err)
	req.Host = domain
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(req)
	must(r.t, err)
	defer answer.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	must(r.t, json.NewDecoder(answer.Body).Decode(&body))
	r.ok("domain,access_token\n"+domain+","+body.AccessToken+"\n", "shop", "import", "-", "--secret-version", strconv.Itoa(said))
}

func (r *rig) installsAnew(sim *haravansim.Server, domain string, version int) {
	r.t.Helper()
	must(r.t, sim.Uninstall(domain))
	r.installs(sim, domain, version)
}

// sql changes what is stored.
func (r *rig) sql(statement string) {
	r.t.Helper()
	url, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
	conn, err := pgx.Connect(r.t.Context(), url)
	must(r.t, err)
	defer conn.Close(r.t.Context())
	_, err = conn.Exec(r.t.Context(), statement)
	must(r.t, err)
}

// exchanges has a run exchange every shop that it can, and be cancelled.
func (r *rig) exchanges(sim *haravansim.Server) {
	r.t.Helper()
	r.toArmed(sim)
	r.run("", "worker", "--once")
	r.ok("", "rotation", "cancel", "--confirm", "main")
}

// exchangesOne is exchanges of the third shop alone.
func (r *rig) exchangesOne(sim *haravansim.Server) (domain string) {
	r.t.Helper()
	domain = third(sim)
	for s := range sim.Shops {
		if s.Domain != domain {
			r.ok("", "shop", "exclude", s.Domain, "--reason", "later")
		}
	}
	r.exchanges(sim)
	for s := range sim.Shops {
		if s.Domain != domain {
			r.ok("", "shop", "exclude", s.Domain, "--undo")
		}
	}
	return domain
}

// live is how many of the stored tokens the platform accepts.
func (r *rig) live(sim *haravansim.Server) (live int) {
	r.t.Helper()
	for _, line := range strings.Split(r.ok("", "shop", "export").stdout, "\n") {
		if f := strings.Split(line, ","); len(f) > 1 && sim.TokenAlive(f[0], f[1]) {
			live++
		}
	}
	return live
}

const late = "late.myharavan.com"

func third(sim *haravansim.Server) string {
	n, domain := 0, ""
	for s := range sim.Shops {
		if n++; n == 3 {
			domain = s.Domain
		}
	}
	return domain
}

// A secret is given up: what each shop has then is the living token that it had last.
func TestWhichTokensAreTakenBack(t *testing.T) {
	t.Parallel()
	const shops = 12
	revokes := func(r *rig, sim *haravansim.Server, version int) { must(r.t, discard(sim, version)) }
	for name, tt := range map[string]struct {
		before func(r *rig, sim *haravansim.Server)
		lost   int
		live   int
		says   []string
		fails  bool // the platform goes on to
	}{
		"an install between two runs": {func(r *rig, sim *haravansim.Server) {
			r.exchanges(sim)
			r.installsAnew(sim, third(sim), 1)
			r.exchanges(sim)
			revokes(r, sim, 2)
		}, 2, shops, []string{"12 shops: the former token"}, false},
		"an install after them, of the leaked secret": {func(r *rig, sim *haravansim.Server) {
			r.exchanges(sim)
			r.installsAnew(sim, third(sim), 2)
		}, 2, shops, []string{"11 shops: the former token", "1 shop keeps a token of version 2"}, false},
		"a token of a secret that was lost before": {func(r *rig, sim *haravansim.Server) {
			r.installs(sim, late, 2)
			r.exchanges(sim)
			revokes(r, sim, 2)
			r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main")
			r.anotherSecret(sim)
			r.exchanges(sim)
			revokes(r, sim, 3)
		}, 3, shops, []string{"12 shops: the former token", "1 shop keeps a token of version 3"}, false},
		"tokens that were not proven": {func(r *rig, sim *haravansim.Server) {
			n := 0
			for s := range sim.Shops {
				if n++; n <= 4 {
					must(r.t, sim.Script(s.Domain, haravansim.OpIdentity, slices.Repeat([]haravansim.Fault{haravansim.FaultServerText}, 60)...))
				}
			}
			r.toArmed(sim)
			r.run("", "worker", "--once")
			r.says(r.ok("", "rotation", "cancel", "--confirm", "main"), "4 get a new one that is not proven yet")
			revokes(r, sim, 2)
		}, 2, shops, []string{"5 shops: the former token"}, true}, // of the canary, at which the run is held
		"the shops of the first run have left": {func(r *rig, sim *haravansim.Server) {
			first := r.exchangesOne(sim)
			r.exchanges(sim)
			must(r.t, sim.Uninstall(first))
			revokes(r, sim, 2)
			r.says(r.exits(exitRefused, "", "rotation", "start", "--breach", "--confirm", "main"), "5 accept one of version 1")
		}, 2, shops - 1, []string{"12 shops: the former token"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, sim := newLossFleet(t, haravansim.Options{Shops: shops})
			tt.before(r, sim)
			r.says(r.ok("", "secret", "discard", strconv.Itoa(tt.lost), "--lost", "--confirm", "main"), tt.says...)
			if n := r.live(sim); n != tt.live {
				t.Errorf("%d stored tokens live, want %d", n, tt.live)
			}
			if tt.fails {
				return
			}
			if tt.live < shops {
				_, err := sim.InstallShop(third(sim)) // the merchant is back: any token of it lives
				must(t, err)
			}
			if !slices.ContainsFunc(sim.Secrets(), func(s haravansim.Secret) bool { return s.Version == tt.lost && !s.RevokedAt.IsZero() }) {
				revokes(r, sim, tt.lost)
			}
			r.goesOnToAnother(sim)
		})
	}
}

// The new secret is revoked where the old one was to be, and not every shop was
// exchanged by this run: nothing may lead to the revoke of the other one.
func TestTheWrongSecretIsRevokedAfterOtherRuns(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(r *rig, sim *haravansim.Server){
		"a part was exchanged before": func(r *rig, sim *haravansim.Server) { r.half(sim); r.toArmed(sim) },
		"all were exchanged before":   func(r *rig, sim *haravansim.Server) { r.exchanges(sim); r.toArmed(sim) },
		"installs came of the new secret": func(r *rig, sim *haravansim.Server) {
			r.toArmed(sim)
			for i := range 4 {
				r.installs(sim, fmt.Sprintf("late-%d.myharavan.com", i), 2)
			}
		},
	} {
		for _, looked := range []bool{false, true} { // before it has bitten
			t.Run(fmt.Sprintf("%s, looked at before: %t", name, looked), func(t *testing.T) {
				t.Parallel()
				r, sim := newLossFleet(t, haravansim.Options{Shops: 20})
				before(r, sim)
				r.exits(exitWaiting, "", "worker", "--once")
				confirm := []string{"rotation", "confirm", "revoked", "--note", "n", "--confirm", "main"}
				r.ok("", confirm...) // it has not bitten yet
				if looked {
					r.run("", "worker", "--once")
				}
				must(t, discard(sim, 2))
				if looked {
					r.ok("", confirm...)
				}
				r.exits(exitExceptions, "", "worker", "--once")
				r.says(r.exits(exitWaiting, "", "rotation", "next"), "revoked instead of the old one", "revoke nothing more", "rotator rotation cancel --confirm main")
				for _, look := range [][]string{{"check"}, {"rotation", "report"}, {"rotation", "status"}, {"rotation", "explain", third(sim)}, {"rotation", "report", "--json"}} {
					got := r.run("", look...)
					if all := got.stdout + got.stderr; strings.Contains(all, "revoke the old secret") || strings.Contains(all, "re-install") || strings.Contains(all, "oauth/authorize") {
						t.Errorf("rotator %v leads to the revoke of the other secret, or to a re-install:\n%s", look, all)
					}
				}
				r.ok("", "rotation", "cancel", "--confirm", "main")
				r.says(r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main"), "20 shops: the former token")
				if n := r.live(sim); n != 20 {
					t.Errorf("%d stored tokens live", n)
				}
			})
		}
	}
}

// Where the check has seen what is not so any more, or never was, a cancel would take
// the old secret, which is dying, for alive.
func TestNoCancelWhileNewTokensLive(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 12})
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	r.ok("", "rotation", "confirm", "revoked", "--note", "n", "--confirm", "main")
	r.run("", "worker", "--once")
	r.sql("update rotator.items set new_alive = false")
	r.says(r.exits(exitWaiting, "", "rotation", "next"), "revoked instead of the old one")
	r.says(r.exits(exitRefused, "", "rotation", "cancel", "--confirm", "main"), "12 shops asked accept their new token: the new secret was not revoked", "`rotator rotation confirm revoked`, said again")
	r.ok("", "rotation", "confirm", "revoked", "--note", "n", "--confirm", "main")
	r.revokesAndCloses(sim, 1)
}

// The only shop that has a token of the newest version does not answer: nothing is done
// on that, and there is a way.
func TestOneSilentShopStopsNobody(t *testing.T) {
	t.Parallel()
	r, sim := newLossFleet(t, haravansim.Options{Shops: 8})
	silent := r.exchangesOne(sim)
	must(t, sim.Script(silent, haravansim.OpIdentity, slices.Repeat([]haravansim.Fault{haravansim.FaultServerText}, 30)...))
	r.says(r.exits(exitRefused, "", "rotation", "start", "--breach", "--confirm", "main"), "whether tokens of version 2, to which the run would go, live cannot be seen", "Or go to another version: `rotator secret discard 2 --lost --confirm main`")
	r.says(r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main"), "in use:         version 1")
}

// After a wrong revoke the app works with the old secret again: merchants who come back
// have tokens of it, whatever the import says of them.
func TestInstallsHideNoWrongRevoke(t *testing.T) {
	t.Parallel()
	for said := range 3 {
		t.Run(fmt.Sprintf("said to be of version %d", said), func(t *testing.T) {
			t.Parallel()
			r, sim := newLossFleet(t, haravansim.Options{Shops: 12})
			r.toArmed(sim)
			r.exits(exitWaiting, "", "worker", "--once")
			r.ok("", "rotation", "confirm", "revoked", "--note", "n", "--confirm", "main")
			must(t, discard(sim, 2))
			for _, domain := range []string{"shop-000003.myharavan.com", "shop-000007.myharavan.com"} {
				must(t, sim.Uninstall(domain))
				r.installsAs(sim, domain, 1, said)
			}
			r.exits(exitExceptions, "", "worker", "--once")
			r.says(r.exits(exitWaiting, "", "rotation", "next"), "revoked instead of the old one", "rotator rotation cancel --confirm main")
			if got := r.run("", "rotation", "report", "--json"); strings.Contains(got.stdout, "oauth/authorize") {
				t.Error("a re-install link is shown")
			}
			r.ok("", "rotation", "cancel", "--confirm", "main")
			r.ok("", "secret", "discard", "2", "--lost", "--confirm", "main")
			if n := r.live(sim); n != 12 {
				t.Errorf("%d stored tokens live", n)
			}
		})
	}
}
