package jobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/sethvargo/go-retry"

	"github.com/haravan-rotator/rotator/internal/deliver"
	"github.com/haravan-rotator/rotator/store"
)

const (
	// deliverChunk shops make a job, deliverOutstanding of one app are given to
	// jobs at once.
	deliverChunk       = 64
	deliverOutstanding = 4 * deliverChunk
	// No request of a job begins after deliverBudget; the lease outlives the last
	// one and the writing down of its answer.
	deliverBudget = 30 * time.Second
	deliverLease  = deliverBudget + deliver.DefaultTimeout + 30*time.Second
	// Pauses between attempts for one shop.
	deliverPause, deliverPauseMost = time.Second, 10 * time.Minute
)

// superviseDeliveries gives a job to every shop whose app is due to be told.
// busy tells that some are due or under way.
func (e *Engine) superviseDeliveries(ctx context.Context, repair bool) (busy bool, err error) {
	if repair {
		if err := e.store.FreeDeliveries(ctx, store.LiveWithin); err != nil {
			return true, err
		}
	}
	due, busy, err := e.store.Receivers(ctx)
	for _, app := range due {
		err = errors.Join(err, e.dispatchDeliveries(ctx, app))
	}
	return busy, err
}

func (e *Engine) dispatchDeliveries(ctx context.Context, app int64) error {
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		due, err := tx.DispatchDeliveries(ctx, app, deliverOutstanding, dispatchLease)
		if err != nil || len(due) == 0 {
			return err
		}
		var jobs []river.InsertManyParams
		for chunk := range slices.Chunk(due, deliverChunk) {
			jobs = append(jobs, river.InsertManyParams{Args: deliverArgs(app, chunk)})
		}
		_, err = e.river.InsertManyFastTx(ctx, tx.Pgx(), jobs)
		return err
	})
}

// deliverWorker tells an app of some shops' newest tokens.
type deliverWorker struct {
	river.WorkerDefaults[DeliverArgs]
	engine *Engine
}

// Work implements river.Worker.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[DeliverArgs]) error {
	e := w.engine
	to, err := e.store.Receiver(ctx, job.Args.App)
	if errors.Is(err, store.ErrNotFound) || err == nil && to.URL == "" {
		return nil // the lease ends by itself, and nothing is dispatched meanwhile
	}
	if err != nil {
		return err
	}
	begin := time.Now()
	claims, err := e.store.ClaimDeliveries(ctx, job.Args.due(), e.id, deliverLease)
	if err != nil || len(claims) == 0 {
		return err
	}
	d := delivery{engine: e, to: to, receiver: e.receivers.get(job.Args.App), probe: len(claims) == 1, begin: begin}
	if to.Failures < store.DownAfter {
		// Another worker may have found it up again.
		d.receiver.failures.Store(int32(to.Failures))
	}
	d.all(context.WithoutCancel(ctx), job.Args.App, claims)
	e.kick() // there is room for the next
	return nil
}

// delivery is the work of one job.
type delivery struct {
	engine   *Engine
	to       store.Receiver
	receiver *receiver
	// probe: one shop alone is tried also while the receiver is down.
	probe bool
	begin time.Time
}

// all tries each shop once and commits the answers in groups: those that came
// while the group before them was written make the next. It is not cancelled
// once requests are under way: their answers are always read and committed.
func (d *delivery) all(ctx context.Context, app int64, claims []store.Delivery) {
	answers := make(chan store.DeliveryOutcome, len(claims))
	for _, c := range claims {
		go func() { answers <- d.unharmed(ctx, c) }()
	}
	for left := len(claims); left > 0; {
		group := []store.DeliveryOutcome{<-answers}
		for more := true; more; {
			select {
			case o := <-answers:
				group = append(group, o)
			default:
				more = false
			}
		}
		left -= len(group)
		if err := d.write(ctx, app, group); err != nil {
			d.engine.log.Warn("cannot store what the app answered; its shops are told again", "app", d.to.App, "shops", len(group), "error", err)
		}
	}
}

// write tries for as long as the claims are this worker's.
func (d *delivery) write(ctx context.Context, app int64, group []store.DeliveryOutcome) error {
	ctx, cancel := context.WithTimeout(ctx, time.Until(d.begin.Add(deliverLease)))
	defer cancel()
	return retry.Do(ctx, retry.NewConstant(500*time.Millisecond), func(ctx context.Context) error {
		return retry.RetryableError(d.engine.store.WriteDeliveries(ctx, app, group))
	})
}

// unharmed is one; a panic costs the shop an attempt, and the worker nothing.
func (d *delivery) unharmed(ctx context.Context, c store.Delivery) (o store.DeliveryOutcome) {
	defer func() {
		if p := recover(); p != nil {
			d.engine.logFault(p, "app", d.to.App, "shop", c.Domain)
			o = store.DeliveryOutcome{Delivery: c, Problem: "a fault in rotator: see the worker's log", Delay: deliverBackoff(c.Tries, 0)}
		}
	}()
	return d.one(ctx, c)
}

// one tries one shop.
func (d *delivery) one(ctx context.Context, c store.Delivery) store.DeliveryOutcome {
	o := store.DeliveryOutcome{Delivery: c}
	if c.Broken != "" {
		o.Problem, o.Delay = c.Broken, deliverPauseMost
		return o
	}
	if d.to.Broken != "" {
		o.Problem, o.Delay = d.to.Broken, deliverBackoff(c.Tries, 0)
		return o
	}
	wait, cancel := context.WithDeadline(ctx, d.begin.Add(deliverBudget))
	defer cancel()
	leave, err := d.receiver.enter(wait, d.to.Workers)
	if err != nil {
		o.Unsent = true
		return o
	}
	defer leave()
	// Asked last: waiting for a place may have taken a while.
	if d.engine.draining.Load() || !d.engine.leased() || time.Since(d.begin) > deliverBudget || d.receiver.down() && !d.probe {
		o.Unsent = true
		return o
	}
	answer := d.engine.receivers.sender.Send(ctx, d.to.URL, d.to.Key, deliver.Message{
		ID: c.ID, App: d.to.App, Shop: c.Domain, OrgID: c.OrgID, Token: c.Token, Generation: c.Generation, Run: c.RunID, At: c.SwappedAt,
	})
	d.receiver.saw(answer)
	o.Acknowledged, o.Stop = answer.Acknowledged(), answer.Gone()
	o.Status, o.Problem = answer.Status, answer.Problem
	o.Delay, o.Asked = deliverBackoff(c.Tries, answer.RetryAfter), answer.RetryAfter
	return o
}

// deliverBackoff is how long a shop waits after a failed attempt: what the app
// asked for at least, and longer after every failure.
func deliverBackoff(tries int, asked time.Duration) time.Duration {
	grown := min(deliverPause<<min(max(tries-1, 0), 10), deliverPauseMost)
	b := retry.WithCappedDuration(deliverPauseMost, retry.WithJitterPercent(20, retry.NewConstant(grown)))
	d, _ := b.Next()
	return max(d, asked)
}
