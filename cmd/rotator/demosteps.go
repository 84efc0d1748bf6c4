package main

import (
	"context"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// rotate is what an operator does, from the new secret to the closed run.
func (d *demo) rotate(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		d.introduceSecret, d.startRun, d.arm, d.exchangeAll, d.revoke, d.closeRun,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) introduceSecret(ctx context.Context) error {
	fresh, err := d.sim.CreateSecret()
	if err != nil {
		return err
	}
	stored, err := d.on.store.AddSecret(ctx, demoActor, d.on.app.ID, secret.New(fresh.Value))
	if err != nil {
		return err
	}
	d.screen.sayf("Step 1: a new secret, version %d, was made in the dashboard and stored", stored.Version)
	return nil
}

func (d *demo) startRun(ctx context.Context) error {
	var err error
	if d.on.run, err = d.on.op.Start(ctx, d.on.app, operate.StartOptions{}); err != nil {
		return err
	}
	if err := d.startWorker(ctx); err != nil {
		return err
	}
	if err := d.confirm(ctx, rotation.PhaseWebhooksDual); err != nil {
		return err
	}
	d.screen.sayf("Step 2: the app accepts webhooks signed by either secret (confirmed)")
	if err := d.confirm(ctx, rotation.PhaseOAuthSwitched); err != nil {
		return err
	}
	d.screen.sayf("Step 3: the app uses only the new secret for OAuth (confirmed)")
	return nil
}

func (d *demo) confirm(ctx context.Context, p rotation.Phase) error {
	return d.on.op.Confirm(ctx, d.on.run.ID, p, "demo", d.on.app.Name, func(int64, int64) {})
}

func (d *demo) arm(ctx context.Context) error {
	token := d.sim.CreateRefreshToken()
	// A rehearsal in a scaled window is to show what comes, not to be held.
	if _, err := d.on.op.Arm(ctx, d.on.run.ID, secret.New(token.Value), d.staging.age(), d.staging.life > 0); err != nil {
		return err
	}
	if d.armedAt.IsZero() {
		d.armedAt = time.Now()
		d.screen.sayf("Step 4: a refresh token was made in the dashboard; its hour runs")
		d.screen.sayf("Step 5: every shop's token is exchanged and proven")
	} else {
		d.screen.sayf("Another refresh token was made: the run goes on where it stood")
	}
	return nil
}

func (d *demo) exchangeAll(ctx context.Context) error {
	st, err := d.follow(ctx, func(st runStatus) bool { return st.Phase == rotation.PhaseProven && st.Certificate })
	if err != nil {
		return err
	}
	d.provenAt = time.Now()
	d.screen.sayf("Proven: %s in %.1f s; the certificate is written: nothing needs the old secret",
		plural(st.Items.Proven, "shop"), d.provenAt.Sub(d.armedAt).Seconds())
	return nil
}

func (d *demo) revoke(ctx context.Context) error {
	if _, err := d.sim.RevokeSecret(1); err != nil {
		return err
	}
	if err := d.confirm(ctx, rotation.PhaseRevoked); err != nil {
		return err
	}
	d.screen.sayf("Step 6: the old secret was revoked in the dashboard (confirmed); every token is looked at")
	st, err := d.follow(ctx, func(st runStatus) bool { return st.Revocation != nil && st.Revocation.Done() })
	if err != nil {
		return err
	}
	r := st.Revocation
	d.screen.sayf("Looked at %s: %d old tokens dead, %d still answer; %d new tokens live, %d broke",
		plural(r.Planned, "shop"), r.OldDead, r.OldAlive, r.NewAlive, r.NewDead)
	return nil
}

func (d *demo) closeRun(ctx context.Context) error {
	if err := d.confirm(ctx, rotation.PhaseWebhooksSingle); err != nil {
		return err
	}
	if err := d.confirm(ctx, rotation.PhaseClosed); err != nil {
		return err
	}
	d.screen.sayf("The app accepts the new signature only (confirmed); old tokens and the refresh token are shredded")
	return nil
}

// hold keeps the stage for looking at, until the operator ends it.
func (d *demo) hold(ctx context.Context) error {
	d.notef(`
The database and the simulator stay until Ctrl-C. In another terminal:
  export DATABASE_URL='%s'
  export ROTATOR_KEYRING='%s'
  rotator rotation report
  rotator journal verify
  rotator shop list
  curl -s %s/counts
  psql "$DATABASE_URL" -c 'select state, count(*) from rotator.items group by 1'`,
		d.cluster.URL(), d.keyringPath(), d.sim.ManagementURL)
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.failed:
		return fmt.Errorf("keep the demo: %w", err)
	}
}
