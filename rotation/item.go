package rotation

import "fmt"

// ItemState is where one shop stands in a run.
//
//	pending → claimed → exchanged → proven
//
// A claim is the intent, written before the call. exchanged means that the new
// token is persisted, proven that its identity was read and that it became the
// shop's current token.
type ItemState string

const (
	// ItemPending: nothing was done yet.
	ItemPending ItemState = "pending"
	// ItemClaimed: a worker holds it and may be calling right now.
	ItemClaimed ItemState = "claimed"
	// ItemExchanged: the new token is stored, not yet proven.
	ItemExchanged ItemState = "exchanged"
	// ItemProven: the new token is current and its identity was read.
	ItemProven ItemState = "proven"
	// ItemRetrying: it failed in a way that passes; it has a next attempt.
	ItemRetrying ItemState = "retrying"
	// ItemUnknown: sent, no answer: the platform may have minted a token.
	ItemUnknown ItemState = "unknown"
	// ItemParked: a human must look.
	ItemParked ItemState = "parked"
	// ItemSkipped: nothing to do for this shop, with the reason.
	ItemSkipped ItemState = "skipped"
	// ItemWaived: an operator accepted this shop by name.
	ItemWaived ItemState = "waived"
)

// ItemStates lists every state, in the order that reports print them.
var ItemStates = []ItemState{
	ItemPending, ItemClaimed, ItemExchanged, ItemProven, ItemRetrying,
	ItemUnknown, ItemParked, ItemSkipped, ItemWaived,
}

// Counts is the number of items in each state.
type Counts struct {
	Total     int `json:"total"`
	Pending   int `json:"pending"`
	Claimed   int `json:"claimed"`
	Exchanged int `json:"exchanged"`
	Proven    int `json:"proven"`
	Retrying  int `json:"retrying"`
	Unknown   int `json:"unknown"`
	Parked    int `json:"parked"`
	Skipped   int `json:"skipped"`
	Waived    int `json:"waived"`
}

// Add counts n items in state s.
func (c *Counts) Add(s ItemState, n int) {
	c.Total += n
	switch s {
	case ItemPending:
		c.Pending += n
	case ItemClaimed:
		c.Claimed += n
	case ItemExchanged:
		c.Exchanged += n
	case ItemProven:
		c.Proven += n
	case ItemRetrying:
		c.Retrying += n
	case ItemUnknown:
		c.Unknown += n
	case ItemParked:
		c.Parked += n
	case ItemSkipped:
		c.Skipped += n
	case ItemWaived:
		c.Waived += n
	}
}

// Open is how many items still have work to do.
func (c Counts) Open() int {
	return c.Pending + c.Claimed + c.Exchanged + c.Retrying + c.Unknown
}

// Settled is how many items need nothing more, parked ones included.
func (c Counts) Settled() int { return c.Total - c.Open() }

// Words tells what became of shops of which none is open.
func (c Counts) Words() string {
	words := Plural(c.Proven, "shop") + " proven"
	if c.Skipped > 0 {
		words += fmt.Sprintf(", %d skipped", c.Skipped)
	}
	if c.Waived > 0 {
		words += fmt.Sprintf(", %d waived", c.Waived)
	}
	return words
}
