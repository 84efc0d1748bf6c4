package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// explainDelivery reads what the app was told of a shop, nil if nothing ever. A
// token that it does not take is the next thing to look at once the exchange
// left nothing to do.
func (o onRun) explainDelivery(ctx context.Context, shop string, st runStatus, next rotation.Step) (*store.DeliveryInfo, rotation.Step, error) {
	d, err := o.store.Delivery(ctx, o.app.ID, shop)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, next, nil
	case err != nil:
		return nil, next, err
	}
	stuck := d.State == store.DeliveryFailing || d.State == store.DeliveryStopped
	if stuck && next.Command == "" {
		next = rotation.Step{Command: "rotator delivery retry " + d.Domain, Human: true, Why: "mend what receives the app's deliveries, then tell it again"}
		if st.Deliveries.Required && !d.Waived {
			next.Why += "; or accept that it does not know: `rotator rotation waive " + d.Domain + " --reason TEXT`"
		}
	}
	return &d, next, nil
}

// deliveryWords says where telling the app of a shop's newest token stands.
func deliveryWords(d *store.DeliveryInfo) string {
	if d == nil {
		return ""
	}
	switch words := fmt.Sprintf("generation %d is %s", d.Generation, deliveryWord(*d)); d.State {
	case store.DeliveryAcknowledged:
		return words + " since " + moment(d.AcknowledgedAt)
	case store.DeliveryFailing:
		return fmt.Sprintf("%s after %s: %s; again at %s", words, plural(d.Tries, "attempt"), d.LastError, moment(d.NextAttemptAt))
	case store.DeliveryStopped:
		return fmt.Sprintf("%s: %s", words, d.LastError)
	default:
		if d.LastError != "" {
			words += ", to be sent again; the last time: " + d.LastError
		}
		return words
	}
}
