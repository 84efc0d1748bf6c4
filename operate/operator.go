package operate

import "github.com/haravan-rotator/rotator/store"

// Operator acts on runs in somebody's name.
type Operator struct {
	Store *store.Store
	// Actor is who, for the journal.
	Actor string
}
