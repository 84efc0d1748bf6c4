package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// harms are what can happen, by name; each reports whether it did.
func (s *soaked) harms() map[string]func() bool {
	all := map[string]func() bool{
		"worker killed": s.killWorker, "worker drained": s.drainWorker, "worker frozen": s.freezeWorker,
		"server killed": s.killServer, "server hung": s.hangServer, "connections cut": s.cutConnections,
		"rule added": s.addRule, "platform out": s.platformOut, "paused": s.pause, "tuned": s.tune, "retried": s.retryAll, "shop uninstalled": s.uninstall,
	}
	if s.run.Kind == rotation.KindRotation {
		maps.Copy(all, map[string]func() bool{
			"refresh token revoked": s.revokeRefreshToken, "shop retried": s.retryShop,
			"shop excluded": s.exclude, "shop installed again": s.reinstall, "shop installed": s.install,
		})
	}
	return all
}

func (s *soaked) anyWorker() *soakedWorker {
	if len(s.workers) == 0 {
		return nil
	}
	return s.workers[s.IntN(len(s.workers))]
}

func (s *soaked) anyShop() string { return s.domains[s.IntN(len(s.domains))] }

func (s *soaked) killWorker() bool {
	w := s.anyWorker()
	if w == nil {
		return false
	}
	w.expected = true
	s.signal(w, syscall.SIGKILL)
	return true
}

func (s *soaked) drainWorker() bool {
	w := s.anyWorker()
	if w == nil {
		return false
	}
	w.expected = true
	s.signal(w, syscall.SIGTERM)
	return true
}

// freezeWorker may outlast the lease of what it holds.
func (s *soaked) freezeWorker() bool {
	w := s.anyWorker()
	if w == nil {
		return false
	}
	s.signal(w, syscall.SIGSTOP)
	s.after(2*store.LiveWithin, func() { s.signal(w, syscall.SIGCONT) })
	return true
}

func (s *soaked) killServer() bool {
	if s.serverIll {
		return false
	}
	if err := s.cluster.Kill(); err != nil {
		s.t.Error(err)
	}
	s.serverIll = true
	s.after(5*time.Second, func() {
		s.must(s.cluster.StartServer(context.Background()))
		s.serverIll = false
	})
	return true
}

func (s *soaked) hangServer() bool {
	if s.serverIll {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.db.URL.Reveal())
	if err != nil {
		return false
	}
	defer func() { go func() { _ = conn.Close(context.Background()) }() }() // the server may not answer now
	var all []int
	if err := conn.QueryRow(ctx, `select array_agg(pid) from pg_stat_activity`).Scan(&all); err != nil {
		return false
	}
	all = append([]int{s.cluster.PID()}, all...)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended
	}
	s.serverIll = true
	s.after(8*time.Second, func() {
		for _, pid := range all {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		s.serverIll = false
	})
	return true
}

func (s *soaked) cutConnections() bool {
	return s.tries("connections cut", func(ctx context.Context) error {
		_, err := s.db.Pool.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
			where backend_type = 'client backend' and pid <> pg_backend_pid() and random() < 0.5`)
		return err
	})
}

// addRule has the database refuse what becomes of some shops, or of all.
func (s *soaked) addRule() bool {
	rules := [][2]string{
		{"items", `position % 40 <> 7 or state <> 'proven'`},
		{"items", `state <> 'proven'`},
		{"items", `new_token is null`},
		{"minted", `false`},
		{"items", `state not in ('parked', 'unknown')`},
	}
	rule := rules[s.IntN(len(rules))]
	s.rules++
	name := fmt.Sprint("soak_", s.rules)
	added := s.tries("add a rule", func(ctx context.Context) error {
		_, err := s.db.Pool.Exec(ctx, `alter table rotator.`+rule[0]+` add constraint `+name+` check (`+rule[1]+`) not valid`)
		return err
	})
	s.after(2*time.Second, func() { s.dropRule(rule[0], name) }) // it may be there although the answer was lost
	return added
}

func (s *soaked) dropRule(table, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := s.db.Pool.Exec(ctx, `alter table rotator.`+table+` drop constraint if exists `+name); err != nil {
		s.after(time.Second, func() { s.dropRule(table, name) })
	}
}

func (s *soaked) platformOut() bool {
	if s.platformIll {
		return false
	}
	was := s.faults
	faults := []haravansim.Fault{haravansim.FaultReset, haravansim.FaultServerText, haravansim.FaultLostReset, haravansim.FaultThrottle}
	s.must(s.sim.SetFaults(haravansim.Faults{Dead: was.Dead, Rates: map[haravansim.Fault]float64{faults[s.IntN(len(faults))]: 1}}))
	s.platformIll = true
	s.after(2*time.Second, func() {
		s.must(s.sim.SetFaults(was))
		s.platformIll = false
	})
	return true
}

func (s *soaked) revokeRefreshToken() bool {
	return s.IntN(4) == 0 && s.refresh != "" && s.sim.RevokeRefreshToken(s.refresh) == nil
}

// rearm enters a fresh refresh token.
func (s *soaked) rearm(ctx context.Context) error {
	s.refresh = s.sim.CreateRefreshToken().Value
	_, err := s.op.Arm(ctx, s.run.ID, secret.New(s.refresh), 0, false)
	return err
}

func (s *soaked) pause() bool {
	if !s.tries("pause", func(ctx context.Context) error { return s.op.Pause(ctx, s.run.ID, "a soak") }) {
		return false
	}
	s.after(2*time.Second, s.resume)
	return true
}

// resume ends the pause, if it is (still) one.
func (s *soaked) resume() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	run, err := s.db.Store.Run(ctx, s.run.ID)
	if err == nil && run.Held == rotation.HeldPaused {
		err = s.op.Resume(ctx, s.run.ID)
	}
	if err != nil {
		s.after(time.Second, s.resume)
	}
}

func (s *soaked) tune() bool {
	return s.tries("tune", func(ctx context.Context) error { return s.op.Tune(ctx, s.run.ID, 8+s.IntN(56)) })
}

func (s *soaked) retryAll() bool {
	return s.tries("retry", func(ctx context.Context) error {
		_, err := s.op.Retry(ctx, s.run.ID, "", "")
		return err
	})
}

func (s *soaked) retryShop() bool {
	return s.tries("retry a shop", func(ctx context.Context) error { return s.op.RetryNow(ctx, s.run.ID, s.anyShop()) })
}

func (s *soaked) exclude() bool {
	shop := s.anyShop()
	s.excluded[shop] = true // also when the answer is lost
	return s.tries("exclude", func(ctx context.Context) error {
		return s.db.Exclude(ctx, storetest.Actor, s.app.ID, shop, "in a soak")
	})
}

func (s *soaked) uninstall() bool {
	shop := s.anyShop()
	s.must(s.sim.Uninstall(shop))
	s.gone[shop] = true
	return true
}

func (s *soaked) install() bool {
	s.installs++
	shop := fmt.Sprintf("late-%d.myharavan.com", s.installs)
	s.domains = append(s.domains, shop)
	return s.installed(shop)
}

func (s *soaked) reinstall() bool {
	for shop := range s.gone {
		return s.installed(shop)
	}
	return false
}

// installed is what the app's own callback does: the new secret is the only one
// that it uses for OAuth, and a token that is given is stored.
func (s *soaked) installed(shop string) bool {
	s.gone[shop] = true
	if s.serverIll || s.platformIll {
		return false
	}
	code, err := s.sim.InstallShop(shop)
	if err != nil {
		return false
	}
	token, err := s.installUnder(shop, code, s.sim.Secrets()[1].Value)
	if err != nil {
		s.log.Info("an install failed", "shop", shop, "error", err)
		s.must(s.sim.Uninstall(shop)) // nobody has its token
		return false
	}
	for err = s.store(shop, token); err != nil && s.ctx.Err() == nil; {
		err = s.store(shop, token)
	}
	s.must(err)
	delete(s.gone, shop)
	s.fresh[shop] = true
	return true
}

// store is what the app does with a token: in its own table, or by an import.
func (s *soaked) store(shop, token string) error {
	if s.bound {
		tag, err := s.db.Pool.Exec(s.ctx, `update public.app_shops set access_token = $2 where shop = $1`, shop, token)
		if err == nil && tag.RowsAffected() == 0 {
			_, err = s.db.Pool.Exec(s.ctx, `insert into public.app_shops (shop, access_token) values ($1, $2)`, shop, token)
		}
		return err
	}
	secrets, err := s.db.Secrets(s.ctx, s.app.ID)
	if err != nil {
		return err
	}
	row := shopfile.Row{Line: 2, Domain: shop, AccessToken: secret.New(token)}
	_, err = s.db.ImportShops(s.ctx, storetest.Actor, s.app, secrets[1].ID, func(yield func(shopfile.Row, error) bool) { yield(row, nil) },
		func(store.Findings) error { return nil })
	return err
}

// tries does something that a server may be in no state for.
func (s *soaked) tries(what string, do func(context.Context) error) bool {
	if s.serverIll {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	err := do(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.log.Info(what+" failed", "error", err)
	}
	return err == nil
}
