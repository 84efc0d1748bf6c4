package haravansim

import (
	"errors"
	"fmt"
	"maps"
)

// State is what the platform thinks of a shop.
type State string

// The states of a shop.
const (
	// StateInstalled is a live shop with the app.
	StateInstalled State = "installed"
	// StateUninstalled is a shop without the app: all its tokens are dead.
	StateUninstalled State = "uninstalled"
	// StateFrozen is a closed or unpaid shop: nothing answers for it.
	StateFrozen State = "frozen"
	// StateUnknown is a shop that the app remembers and the platform does not.
	StateUnknown State = "unknown"
)

var deadStates = [...]State{StateUninstalled, StateFrozen, StateUnknown}

// Faults are what goes wrong by rate. The zero value is a polite platform.
type Faults struct {
	// Rates maps a fault to the share of calls that meet it, 0 to 1. A rate
	// counts for every operation that its fault can happen to.
	Rates map[Fault]float64 `json:"rates"`
	// Dead maps a state other than installed to the share of the fleet that is
	// in it. It holds for shops whose state was not set by name.
	Dead map[State]float64 `json:"dead"`
}

// Hostile is the simulator's usual temper: about four calls in a hundred go
// wrong and two shops in a hundred are dead. It has no wrong_shop, because a
// shop that answers for another cannot be proven and needs a human.
func Hostile() Faults {
	return Faults{
		Rates: map[Fault]float64{
			FaultThrottle: 0.004, FaultThrottleBare: 0.002, FaultThrottleEmpty: 0.002,
			FaultServerText: 0.005, FaultServerHTML: 0.004, FaultSlow: 0.002,
			FaultReset: 0.004, FaultLostReset: 0.003, FaultLostClose: 0.003,
			FaultTruncated: 0.002, FaultHalfJSON: 0.002, FaultRedirect: 0.002,
			FaultNoToken: 0.002, FaultErrorsString: 0.001, FaultErrorsList: 0.001,
			FaultErrorsObject: 0.001, FaultUnprocessable: 0.002,
		},
		Dead: map[State]float64{StateUninstalled: 0.01, StateFrozen: 0.006, StateUnknown: 0.004},
	}
}

// Validate reports every mistake at once.
func (f Faults) Validate() error {
	var errs []error
	sum := 0.0
	for fault, rate := range f.Rates {
		if fault.index() < 0 {
			errs = append(errs, fmt.Errorf("unknown fault %q in rates: use one of %v", fault, AllFaults()))
		}
		errs = append(errs, checkShare("rate of "+string(fault), rate))
		sum += rate
	}
	if sum > 1+1e-9 {
		errs = append(errs, fmt.Errorf("rates add up to %.3g: they must not exceed 1", sum))
	}
	sum = 0
	for state, share := range f.Dead {
		if !isDead(state) {
			errs = append(errs, fmt.Errorf("unknown state %q in dead: use one of %v", state, deadStates))
		}
		errs = append(errs, checkShare("share of "+string(state), share))
		sum += share
	}
	if sum > 1+1e-9 {
		errs = append(errs, fmt.Errorf("dead shares add up to %.3g: they must not exceed 1", sum))
	}
	return errors.Join(errs...)
}

func checkShare(what string, x float64) error {
	if !(x >= 0 && x <= 1) { // also refuses NaN
		return fmt.Errorf("%s is %v: use 0 to 1", what, x)
	}
	return nil
}

func isDead(s State) bool {
	for _, d := range deadStates {
		if s == d {
			return true
		}
	}
	return false
}

// clone has maps of its own, empty ones for nil: JSON shows {} and not null.
func (f Faults) clone() Faults {
	out := Faults{Rates: map[Fault]float64{}, Dead: map[State]float64{}}
	maps.Copy(out.Rates, f.Rates)
	maps.Copy(out.Dead, f.Dead)
	return out
}

// weather is Faults made ready to draw from: rates laid end to end on [0, 1).
type weather struct {
	faults Faults
	byOp   [opCount][]slot[Fault]
	dead   []slot[State]
}

type slot[T any] struct {
	upTo float64
	what T
}

func forecast(f Faults) *weather {
	w := &weather{faults: f.clone()}
	for i, op := range allOps {
		at := 0.0
		for _, fault := range AllFaults() {
			if rate := f.Rates[fault]; rate > 0 && fault.appliesTo(op) {
				at += rate
				w.byOp[i] = append(w.byOp[i], slot[Fault]{at, fault})
			}
		}
	}
	at := 0.0
	for _, state := range deadStates {
		if share := f.Dead[state]; share > 0 {
			at += share
			w.dead = append(w.dead, slot[State]{at, state})
		}
	}
	return w
}

// fault draws for the n-th call of an operation to the shop with this key.
func (w *weather) fault(key uint64, op int, n uint32) Fault {
	return pick(w.byOp[op], draw(key, saltFault, uint64(op), uint64(n)), FaultNone)
}

// state draws how a shop stands, once and for all for these Faults.
func (w *weather) state(key uint64) State {
	return pick(w.dead, draw(key, saltDead, 0, 0), StateInstalled)
}

func pick[T any](slots []slot[T], h uint64, otherwise T) T {
	if len(slots) == 0 {
		return otherwise
	}
	u := unit(h)
	for _, s := range slots {
		if u < s.upTo {
			return s.what
		}
	}
	return otherwise
}
